// Greedy sampling: the lowest id of the largest logit of each row. Two passes: over spans of the row, then over the spans.
// A row that cannot be sampled gives NO_TOKEN. With: keys, logit-keys. One workgroup of 256 per span and row.
override FINAL: bool;

struct Params {
  size: u32, // logits of a row, or spans of a row
  row_size: u32, // spans of a row
}
var<uniform> params: Params;
var<storage, read> logits: array<u32>; // f32 bits
var<storage, read_write> spans: array<vec2u>; // [rows, row_size]: id, key
var<storage, read_write> sampled: array<u32>;

var<workgroup> pairs: array<vec2u, 256>; // id, key

@compute @workgroup_size(256)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  var best = vec2u(); // with a key below that of any logit
  for (var i = group.x * 256u + thread; i < params.size; i += groups.x * 256u) {
    var pair = vec2u();
    if (FINAL) {
      pair = spans[group.y * params.row_size + i];
    } else {
      pair = vec2u(i, logit_key(logits[group.y * params.size + i]));
    }
    if (comes_first(pair, best)) {
      best = pair;
    }
  }
  pairs[thread] = best;
  for (var width = 128u; width > 0u; width /= 2u) {
    workgroupBarrier();
    if (thread < width && comes_first(pairs[thread + width], pairs[thread])) {
      pairs[thread] = pairs[thread + width];
    }
  }
  if (thread == 0u) {
    let key = pairs[0].y;
    if (FINAL) {
      sampled[group.y] = select(NO_TOKEN, pairs[0].x, key >= FIRST_KEY && key < INFINITE_KEY);
    } else {
      spans[group.y * params.row_size + group.x] = pairs[0];
    }
  }
}
