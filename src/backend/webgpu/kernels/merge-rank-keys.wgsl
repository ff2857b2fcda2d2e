// mergeByRank for sets that fit workgroup memory: the `count` units with the lowest rank keys, by counting the marks of
// select-top.wgsl from the lowest rank key up. With: scan, bits. A workgroup takes THREADS units per turn and resets `best` for the next
// merge.

struct Params {
  lengths: u32, // offset in `step` of the first sequence's length
  unit: u32, // tokens
  capacity: u32, // of `best`
  first_words: u32,
  count: u32,
  out_capacity: u32,
}
var<uniform> params: Params;
var<storage, read> step: array<u32>;
var<storage, read> firsts: array<u32>;
var<storage, read_write> best: array<u32>;
var<storage, read_write> units: array<u32>;
var<storage, read_write> counters: array<atomic<u32>>; // [sequences]: units taken so far

var<workgroup> last_rank_key: u32;
var<workgroup> start: u32;

@compute @workgroup_size(THREADS)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let length = step[params.lengths + group.y];
  let all = (length + params.unit - 1u) / params.unit;
  let best_row = group.y * params.capacity;
  var next = best[best_row + min(group.x * THREADS + thread, all - 1u)];

  // the rank key of the count-th mark
  let run = (params.first_words + THREADS - 1u) / THREADS;
  let origin = group.y * params.first_words;
  let first_word = min(thread * run, params.first_words);
  let last_word = min(first_word + run, params.first_words);
  var sum = 0u;
  for (var i = first_word; i < last_word; i++) {
    sum += countOneBits(firsts[origin + i]);
  }
  var before = scan(sum, thread);
  if (before < params.count && before + sum >= params.count) {
    for (var i = first_word; i < last_word; i++) {
      let word = firsts[origin + i];
      let here = countOneBits(word);
      if (before < params.count && before + here >= params.count) {
        last_rank_key = i * 32u + nth_bit(word, params.count - before - 1u);
      }
      before += here;
    }
  }
  let last = workgroupUniformLoad(&last_rank_key);

  for (var base = group.x * THREADS; base < all; base += groups.x * THREADS) {
    let unit = base + thread;
    let rank_key = next;
    next = best[best_row + min(unit + groups.x * THREADS, all - 1u)];
    if (unit < all && rank_key != 0xffffffffu) {
      best[best_row + unit] = 0xffffffffu;
    }
    // only units that some head ranked are marked
    let is_taken = unit < all && rank_key <= last;
    let earlier = scan(u32(is_taken), thread);
    let taken = scan_sum();
    if (thread == 0u) {
      start = atomicAdd(&counters[group.y], taken);
    }
    let first = workgroupUniformLoad(&start);
    if (is_taken) {
      units[group.y * params.out_capacity + first + earlier] = unit;
    }
  }
}
