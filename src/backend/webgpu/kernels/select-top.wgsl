// The best `count` units of each head between the ends, exactly; ties at the cut go to the lower position. With: reduce
// (LANES = THREADS), scan, candidates. One workgroup a head and sequence.
//
// FAST: a threshold from a sample, a pass that takes what reaches it into workgroup memory, a sort of those. Where too few
// or too many reach it, and without FAST: a radix select over order-preserving keys, digit by digit, then a pass that
// takes what is above the cut and as much as needed of what is at it.
const UNIT: u32 = 1u;
const LENGTHS: u32 = 0u;
const BINS: u32 = 2048u;
const FAST: bool = false;
const RANKED: bool = false; // units are ranked, and `best` takes the least rank × heads + head of each; SPACE is at least count
const KEYED: bool = false; // [unit, key] pairs go out, for sort-ranks.wgsl, and `best` is cleared
const AHEAD: u32 = 8u; // scores of an invocation in flight

struct Params {
  first_sequence: u32,
  heads: u32,
  capacity: u32, // scores of a head
  sinks: u32,
  recent: u32,
  count: u32,
  out_capacity: u32, // units of a head
  first_words: u32, // words of `firsts` of a sequence
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> step: array<u32>;
@group(0) @binding(2) var<storage, read> scores: array<f32>;
@group(0) @binding(3) var<storage, read_write> units: array<u32>;
@group(0) @binding(4) var<storage, read_write> keyed: array<vec2u>;
@group(0) @binding(5) var<storage, read_write> best: array<atomic<u32>>; // [sequences, capacity]
@group(0) @binding(6) var<storage, read_write> firsts: array<u32>; // cleared for first-places.wgsl where RANKED
@group(0) @binding(7) var<storage, read_write> counters: array<u32>; // cleared for merge-places.wgsl where RANKED

var<workgroup> bins: array<atomic<u32>, BINS>;
var<workgroup> found: vec2u; // bin, how many to take of it
var<workgroup> candidates: u32;

fn take(place: u32, out: u32, unit: u32, key: u32) {
  if (RANKED) {
    set_pair(place, vec2u(unit, key));
  } else if (KEYED) {
    keyed[out + place] = vec2u(unit, key);
  } else {
    units[out + place] = unit;
  }
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let head = group.x;
  let row = group.y * params.heads + head;
  let length = step[LENGTHS + params.first_sequence + group.y];
  let all = (length + UNIT - 1u) / UNIT;
  let first = params.sinks;
  let end = all - params.recent;
  let origin = row * params.capacity;
  let out = row * params.out_capacity;

  if (KEYED) {
    let share = (all + params.heads - 1u) / params.heads;
    for (var i = head * share + thread; i < min(all, (head + 1u) * share); i += THREADS) {
      atomicStore(&best[group.y * params.capacity + i], 0xffffffffu);
    }
  }
  if (RANKED) {
    for (var i = head * THREADS + thread; i < params.first_words; i += params.heads * THREADS) {
      firsts[group.y * params.first_words + i] = 0u;
    }
    if (head == 0u && thread == 0u) {
      counters[group.y] = 0u;
    }
  }

  if (thread == 0u) {
    atomicStore(&places, 0u);
    candidates = 0u;
  }
  if (FAST) {
    let sample = key_of(scores[origin + first + u32(f32(end - first) * (f32(thread) / f32(THREADS)))]);
    let threshold = sampled_threshold(sample, params.count, end - first, thread);
    workgroupBarrier();
    for (var base = first; base < end; base += THREADS * AHEAD) {
      var key: array<u32, AHEAD> = array<u32, AHEAD>();
      /* unroll */ for (var i = 0u; i < AHEAD; i++) {
        key[i] = key_of(scores[origin + min(base + i * THREADS + thread, end - 1u)]);
      }
      /* unroll */ for (var i = 0u; i < AHEAD; i++) {
        let unit = base + i * THREADS + thread;
        let place = place_of(unit < end && key[i] >= threshold, thread);
        if (place < SPACE) {
          pairs[place] = vec2u(unit, key[i]);
        }
      }
    }
    workgroupBarrier();
    if (thread == 0u) {
      candidates = atomicLoad(&places);
    }
  }
  var size = workgroupUniformLoad(&candidates);
  let is_sampled = FAST && size >= params.count && size <= SPACE;

  if (!is_sampled) {
    // Digits of 11, 11 and 10 bits from the top (the last is read with one bit of the second, which is the same in all
    // keys left by then); `prefix` is what the key at the cut begins with.
    var prefix = 0u;
    var mask = 0u;
    var need = params.count;
    var equal = 0u;
    for (var pass_ = 0u; pass_ < 3u; pass_++) {
      let shift = select(select(0u, 10u, pass_ == 1u), 21u, pass_ == 0u);
      for (var i = thread; i < BINS; i += THREADS) {
        atomicStore(&bins[i], 0u);
      }
      workgroupBarrier();
      for (var i = first + thread; i < end; i += THREADS) {
        let key = key_of(scores[origin + i]);
        if ((key & mask) == prefix) {
          atomicAdd(&bins[(key >> shift) & (BINS - 1u)], 1u);
        }
      }
      workgroupBarrier();
      // bins from the largest down, a run of them to each invocation
      const RUN: u32 = BINS / THREADS;
      var sum = 0u;
      for (var i = 0u; i < RUN; i++) {
        sum += atomicLoad(&bins[BINS - 1u - (thread * RUN + i)]);
      }
      var before = scan(sum, thread);
      _ = scan_sum();
      for (var i = 0u; i < RUN; i++) {
        let bin = BINS - 1u - (thread * RUN + i);
        let here = atomicLoad(&bins[bin]);
        if (before < need && before + here >= need) {
          found = vec2u(bin, need - before);
        }
        before += here;
      }
      let cut = workgroupUniformLoad(&found);
      equal = atomicLoad(&bins[cut.x]);
      prefix |= cut.x << shift;
      mask |= select(select(0x3ffu, 0x1ffc00u, pass_ == 1u), 0xffe00000u, pass_ == 0u);
      need = cut.y;
      workgroupBarrier();
    }

    if (thread == 0u) {
      atomicStore(&places, 0u);
    }
    workgroupBarrier();
    let take_all = equal == need;
    for (var i = first + thread; i < end; i += THREADS) {
      let key = key_of(scores[origin + i]);
      if (key > prefix || (take_all && key == prefix)) {
        take(atomicAdd(&places, 1u), out, i, key);
      }
    }
    if (thread == 0u) {
      found = vec2u(select(1u, 0u, take_all), 0u);
    }
    if (workgroupUniformLoad(&found).x != 0u) {
      var kept = params.count - need;
      for (var base = first; base < end; base += THREADS) {
        let i = base + thread;
        var is_equal = 0u;
        if (i < end && key_of(scores[origin + min(i, end - 1u)]) == prefix) {
          is_equal = 1u;
        }
        let place = kept + scan(is_equal, thread);
        if (is_equal == 1u && place < params.count) {
          take(place, out, i, prefix);
        }
        kept += scan_sum();
      }
    }
    if (!RANKED) {
      return;
    }
    size = params.count;
  }

  sort_pairs(size, thread);
  for (var rank = thread; rank < params.count; rank += THREADS) {
    let unit = pair_at(rank).x;
    if (RANKED) {
      atomicMin(&best[group.y * params.capacity + unit], rank * params.heads + head);
    } else {
      take(rank, out, unit, 0u);
    }
  }
}
