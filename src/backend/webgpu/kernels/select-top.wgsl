// The exact best `count` units of each head among those not always kept; ties at the cut go to the lower position. With: scan,
// keys, bins, select-radix. One workgroup per head and sequence.
//
// FAST: a sample bounds the keys that matter; fine bins count those, and the units in the bins down to the cut go into workgroup
// memory, bin by bin. A unit's rank is where its bin begins, plus how many in its bin come before it. If the bins hold too
// few or too many, and without FAST: select-radix.wgsl.
override FAST: bool;
override SPACE: u32; // pairs in workgroup memory
override RANKED: bool; // `best` gets the lowest rank × heads + head of each unit; SPACE is at least count
override KEYED: bool; // [unit, key] pairs go out, for sort-ranks.wgsl, and `best` is cleared
override AHEAD: u32; // vec4s of scores in flight an invocation
const SAMPLES: u32 = 4u; // of an invocation

struct Params {
  lengths: u32, // offset in `step` of the first sequence's length
  unit: u32, // tokens
  heads: u32,
  capacity: u32, // scores of a head
  sinks: u32,
  recent: u32,
  count: u32,
  out_capacity: u32, // units of a head
  first_words: u32, // words of `firsts` of a sequence
  stale_words: u32, // words of `stale` to be cleared
}
var<uniform> params: Params;
var<storage, read> step: array<u32>;
var<storage, read> scores: array<vec4f>;
var<storage, read_write> out: array<u32>; // units, or pairs if KEYED
var<storage, read_write> best: array<atomic<u32>>; // [sequences, capacity]
var<storage, read_write> firsts: array<atomic<u32>>; // a bit for each rank key that is a first occurrence
var<storage, read_write> stale: array<u32>; // marks of the previous call, to be cleared
var<storage, read_write> counters: array<u32>; // cleared for merge-rank-keys.wgsl if RANKED

var<workgroup> pairs: array<vec2u, SPACE>; // unit, key

fn pair_at(i: u32) -> vec2u {
  return pairs[min(i, SPACE - 1u)];
}

fn put(i: u32, unit: u32, key: u32) {
  if (RANKED) {
    pairs[min(i, SPACE - 1u)] = vec2u(unit, key);
  } else if (KEYED) {
    out[i * 2u] = unit;
    out[i * 2u + 1u] = key;
  } else {
    out[i] = unit;
  }
}

fn key_at(i: u32) -> u32 {
  return key_of(scores[i / 4u][i % 4u]);
}

// Records a unit's rank key in `best` and `firsts`. Marks are toggled: whoever lowers a unit's first rank key clears the mark of the
// previous one, so that the order of heads does not matter.
fn note_rank_key(sequence: u32, unit: u32, rank_key: u32) {
  let before = atomicMin(&best[sequence * params.capacity + unit], rank_key);
  if (rank_key < before) {
    let marks = sequence * params.first_words;
    atomicXor(&firsts[marks + rank_key / 32u], 1u << (rank_key % 32u));
    if (before != 0xffffffffu) {
      atomicXor(&firsts[marks + before / 32u], 1u << (before % 32u));
    }
  }
}

@compute @workgroup_size(THREADS)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let head = group.x;
  let row = group.y * params.heads + head;
  let length = step[params.lengths + group.y];
  let all = (length + params.unit - 1u) / params.unit;
  let first = params.sinks;
  let size = all - params.recent - first;
  let origin = row * params.capacity + first;
  let target_ = row * params.out_capacity;

  if (KEYED) {
    let span = (all + params.heads - 1u) / params.heads;
    for (var i = head * span + thread; i < min(all, (head + 1u) * span); i += THREADS) {
      atomicStore(&best[group.y * params.capacity + i], 0xffffffffu);
    }
  }
  if (RANKED) {
    for (var i = row * THREADS + thread; i < params.stale_words; i += groups.y * params.heads * THREADS) {
      stale[i] = 0u;
    }
    if (head == 0u && thread == 0u) {
      counters[group.y] = 0u;
    }
  }

  var taken = 0xffffffffu; // into `pairs`
  if (FAST) {
    clear_bins(thread);
    workgroupBarrier();
    let stride = (size + SAMPLES * THREADS - 1u) / (SAMPLES * THREADS);
    let sampled = (size + stride - 1u) / stride;
    /* unroll */ for (var i = 0u; i < SAMPLES; i++) {
      let at = i * THREADS + thread;
      let key = key_at(origin + min(at * stride, size - 1u));
      if (at < sampled) {
        atomicAdd(&bins[key >> 21u], 1u);
      }
    }
    workgroupBarrier();
    // three deviations more of the sample than expected
    let expected = f32(sampled) * f32(params.count) / f32(size);
    let ample = min(sampled, u32(ceil(expected + 3f * sqrt(expected) + 1f)));
    let coarse = cut_of(select(ample, params.count, stride == 1u), thread);
    let least = coarse.bin << 21u;
    let shift = 21u - countLeadingZeros(((coarse.top - coarse.bin + 1u) << 21u) - 1u);

    clear_bins(thread);
    workgroupBarrier();
    // rows need not begin at a whole vec4
    let last4 = (origin + size - 1u) / 4u;
    for (var base = origin / 4u + thread; base <= last4; base += THREADS * AHEAD) {
      var four: array<vec4f, AHEAD> = array<vec4f, AHEAD>();
      /* unroll */ for (var i = 0u; i < AHEAD; i++) {
        four[i] = scores[min(base + i * THREADS, last4)];
      }
      /* unroll */ for (var i = 0u; i < AHEAD; i++) {
        /* unroll */ for (var c = 0u; c < 4u; c++) {
          let at = (base + i * THREADS) * 4u + c;
          let key = key_of(four[i][c]);
          if (key >= least && at >= origin && at < origin + size) {
            atomicAdd(&bins[bin_of(key, least, shift)], 1u);
          }
        }
      }
    }
    workgroupBarrier();
    let cut = cut_of(params.count, thread);
    taken = cut.total;
    if (taken <= SPACE) {
      for (var base = origin / 4u + thread; base <= last4; base += THREADS * AHEAD) {
        var four: array<vec4f, AHEAD> = array<vec4f, AHEAD>();
        /* unroll */ for (var i = 0u; i < AHEAD; i++) {
          four[i] = scores[min(base + i * THREADS, last4)];
        }
        /* unroll */ for (var i = 0u; i < AHEAD; i++) {
          /* unroll */ for (var c = 0u; c < 4u; c++) {
            let at = (base + i * THREADS) * 4u + c;
            let key = key_of(four[i][c]);
            let bin = bin_of(key, least, shift);
            if (key >= least && bin >= cut.bin && at >= origin && at < origin + size) {
              pairs[min(atomicAdd(&bins[bin], 1u), SPACE - 1u)] = vec2u(first + at - origin, key);
            }
          }
        }
      }
      workgroupBarrier();
      // a bin now holds its end, which is where the bin below begins
      for (var i = thread; i < taken; i += THREADS) {
        let pair = pair_at(i);
        let bin = bin_of(pair.y, least, shift);
        var rank = select(atomicLoad(&bins[min(bin + 1u, BINS - 1u)]), 0u, bin == BINS - 1u);
        let end = atomicLoad(&bins[bin]);
        for (var j = rank; j < end; j++) {
          rank += u32(comes_first(pair_at(j), pair));
        }
        if (rank < params.count) {
          if (RANKED) {
            note_rank_key(group.y, pair.x, rank * params.heads + head);
          } else {
            put(target_ + rank, pair.x, pair.y);
          }
        }
      }
      return;
    }
  }

  select_by_radix(first, origin, size, params.count, select(target_, 0u, RANKED), thread);
  if (RANKED) {
    workgroupBarrier();
    for (var i = thread; i < params.count; i += THREADS) {
      let pair = pair_at(i);
      var rank = 0u;
      for (var j = 0u; j < params.count; j++) {
        rank += u32(comes_first(pair_at(j), pair));
      }
      note_rank_key(group.y, pair.x, rank * params.heads + head);
    }
  }
}
