// mergeByRank for larger sets: visits rank 0 of every head, then rank 1, and keeps first occurrences until `count` are kept.
// A rank key (rank × heads + head) is a first occurrence if `best` of its unit is that key. With: scan.
// One workgroup per sequence.
struct Params {
  heads: u32,
  count: u32,
  best_capacity: u32,
  out_capacity: u32,
}
var<uniform> params: Params;
var<storage, read> ranked: array<u32>; // [sequences, count, heads]
var<storage, read> best: array<u32>;
var<storage, read_write> units: array<u32>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let rank_keys = params.count * params.heads;
  let origin = group.x * rank_keys;
  var kept = 0u;
  for (var base = 0u; base < rank_keys && kept < params.count; base += THREADS) {
    let rank_key = base + thread;
    var unit = 0u;
    var is_first = 0u;
    if (rank_key < rank_keys) {
      unit = ranked[origin + rank_key];
      if (best[group.x * params.best_capacity + unit] == rank_key) {
        is_first = 1u;
      }
    }
    let sums = scan(is_first, thread);
    if (is_first == 1u && kept + sums < params.count) {
      units[group.x * params.out_capacity + kept + sums] = unit;
    }
    kept += scan_sum();
  }
}
