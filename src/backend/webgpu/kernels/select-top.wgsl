// The best `count` units of each head between the ends, exactly: a radix select over order-preserving keys, then one
// pass that writes them out. Ties at the cut go to the lower position. With: scan. One workgroup a head and sequence.
const UNIT: u32 = 1u;
const LENGTHS: u32 = 0u;
const BINS: u32 = 2048u;
const KEYED: bool = false; // [unit, key] pairs go out, for sort-ranks.wgsl, and `best` is cleared

struct Params {
  first_sequence: u32,
  heads: u32,
  capacity: u32, // scores of a head
  sinks: u32,
  recent: u32,
  count: u32,
  out_capacity: u32, // units of a head
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> step: array<u32>;
@group(0) @binding(2) var<storage, read> scores: array<f32>;
@group(0) @binding(3) var<storage, read_write> units: array<u32>;
@group(0) @binding(4) var<storage, read_write> keyed: array<vec2u>;
@group(0) @binding(5) var<storage, read_write> best: array<u32>; // [sequences, capacity]

var<workgroup> bins: array<atomic<u32>, BINS>;
var<workgroup> found: vec2u; // bin, how many to take of it
var<workgroup> taken: atomic<u32>;

// Larger scores have larger keys; NaN has the least.
fn key_of(score: f32) -> u32 {
  let bits = bitcast<u32>(score);
  if ((bits & 0x7fffffffu) > 0x7f800000u) {
    return 0u;
  }
  if ((bits & 0x7fffffffu) == 0u) {
    return 0x80000000u;
  }
  return select(bits | 0x80000000u, ~bits, bits >= 0x80000000u);
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

  if (KEYED) {
    let share = (all + params.heads - 1u) / params.heads;
    for (var i = head * share + thread; i < min(all, (head + 1u) * share); i += THREADS) {
      best[group.y * params.capacity + i] = 0xffffffffu;
    }
  }

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

  let out = row * params.out_capacity;
  atomicStore(&taken, 0u);
  workgroupBarrier();
  let take_all = equal == need;
  for (var i = first + thread; i < end; i += THREADS) {
    let key = key_of(scores[origin + i]);
    if (key > prefix || (take_all && key == prefix)) {
      let at = out + atomicAdd(&taken, 1u);
      if (KEYED) {
        keyed[at] = vec2u(i, key);
      } else {
        units[at] = i;
      }
    }
  }
  if (thread == 0u) {
    found = vec2u(select(1u, 0u, take_all), 0u);
  }
  if (workgroupUniformLoad(&found).x == 0u) {
    return;
  }
  var kept = params.count - need;
  for (var base = first; base < end; base += THREADS) {
    let i = base + thread;
    var is_equal = 0u;
    if (i < end && key_of(scores[origin + min(i, end - 1u)]) == prefix) {
      is_equal = 1u;
    }
    let place = scan(is_equal, thread);
    let at = kept + place;
    if (is_equal == 1u && at < params.count) {
      if (KEYED) {
        keyed[out + at] = vec2u(i, prefix);
      } else {
        units[out + at] = i;
      }
    }
    kept += scan_sum();
  }
}
