// One set for all heads: the `count` units with the least places, found by counting the marks of first-places.wgsl from
// the least place up. With: scan. A workgroup of THREADS takes THREADS units a turn, and leaves `best` as it was before.
const UNIT: u32 = 1u;
const LENGTHS: u32 = 0u;

struct Params {
  first_sequence: u32,
  capacity: u32, // of `best`
  first_words: u32,
  count: u32,
  out_capacity: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> step: array<u32>;
@group(0) @binding(2) var<storage, read> firsts: array<u32>;
@group(0) @binding(3) var<storage, read_write> best: array<u32>;
@group(0) @binding(4) var<storage, read_write> units: array<u32>;
@group(0) @binding(5) var<storage, read_write> counters: array<atomic<u32>>; // [sequences]: units taken so far

var<workgroup> last_place: u32;
var<workgroup> start: u32;

@compute @workgroup_size(THREADS)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  // the place of the count-th mark
  let run = (params.first_words + THREADS - 1u) / THREADS;
  let origin = group.y * params.first_words;
  var sum = 0u;
  for (var i = thread * run; i < min((thread + 1u) * run, params.first_words); i++) {
    sum += countOneBits(firsts[origin + i]);
  }
  var before = scan(sum, thread);
  _ = scan_sum();
  if (before < params.count && before + sum >= params.count) {
    for (var i = thread * run; i < min((thread + 1u) * run, params.first_words); i++) {
      var bits = firsts[origin + i];
      while (bits != 0u) {
        before++;
        if (before == params.count) {
          last_place = i * 32u + countTrailingZeros(bits);
        }
        bits &= bits - 1u;
      }
    }
  }
  let last = workgroupUniformLoad(&last_place);

  let length = step[LENGTHS + params.first_sequence + group.y];
  let all = (length + UNIT - 1u) / UNIT;
  for (var base = group.x * THREADS; base < all; base += groups.x * THREADS) {
    let unit = base + thread;
    var is_taken = 0u;
    if (unit < all) {
      let place = best[group.y * params.capacity + unit];
      if (place != 0xffffffffu) {
        best[group.y * params.capacity + unit] = 0xffffffffu;
        is_taken = u32(place <= last);
      }
    }
    let place = scan(is_taken, thread);
    let taken = scan_sum();
    if (thread == 0u) {
      start = atomicAdd(&counters[group.y], taken);
    }
    let first = workgroupUniformLoad(&start);
    if (is_taken == 1u) {
      units[group.y * params.out_capacity + first + place] = unit;
    }
  }
}
