// Ranks each head's best units (bitonic sort: key descending, ties to the lower unit), lists them by rank, and stores for each
// unit the lowest (rank × heads + head) over the heads. With: keys. One workgroup per head and sequence.
override THREADS: u32;
override SIZE: u32; // a power of two, at least count
override SHARED: bool; // sort in workgroup memory; else in `keyed` itself, which then has SIZE pairs per head

struct Params {
  heads: u32,
  count: u32,
  keyed_capacity: u32, // pairs of a head
  best_capacity: u32,
}
var<uniform> params: Params;
var<storage, read_write> keyed: array<vec2u>; // [sequences, heads, keyed_capacity]
var<storage, read_write> ranked: array<u32>; // [sequences, count, heads]
var<storage, read_write> best: array<atomic<u32>>;

const SPACE: u32 = select(1u, SIZE, SHARED);
var<workgroup> pairs: array<vec2u, SPACE>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let origin = (group.y * params.heads + group.x) * params.keyed_capacity;
  for (var i = thread; i < SIZE; i += THREADS) {
    // (0xffffffff, 0) sorts last
    var pair = vec2u(0xffffffffu, 0u);
    if (i < params.count) {
      pair = keyed[origin + i];
    }
    if (SHARED) {
      pairs[i] = pair;
    } else {
      keyed[origin + i] = pair;
    }
  }
  for (var run = 2u; run <= SIZE; run *= 2u) {
    for (var gap = run / 2u; gap > 0u; gap /= 2u) {
      if (SHARED) {
        workgroupBarrier();
      } else {
        storageBarrier();
      }
      for (var i = thread; i < SIZE / 2u; i += THREADS) {
        let a = (i / gap) * gap * 2u + i % gap;
        let b = a + gap;
        let is_down = (a & run) == 0u;
        if (SHARED) {
          let x = pairs[a];
          let y = pairs[b];
          if (comes_first(y, x) == is_down) {
            pairs[a] = y;
            pairs[b] = x;
          }
        } else {
          let x = keyed[origin + a];
          let y = keyed[origin + b];
          if (comes_first(y, x) == is_down) {
            keyed[origin + a] = y;
            keyed[origin + b] = x;
          }
        }
      }
    }
  }
  if (SHARED) {
    workgroupBarrier();
  } else {
    storageBarrier();
  }
  for (var rank = thread; rank < params.count; rank += THREADS) {
    var unit = 0u;
    if (SHARED) {
      unit = pairs[rank].x;
    } else {
      unit = keyed[origin + rank].x;
    }
    let rank_key = rank * params.heads + group.x;
    ranked[group.y * params.count * params.heads + rank_key] = unit;
    atomicMin(&best[group.y * params.best_capacity + unit], rank_key);
  }
}
