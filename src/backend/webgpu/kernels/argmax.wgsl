// The lowest id of the largest logit of each row, in two passes: over parts of the row, then over the parts.
// One workgroup of 256 a part and row.
const FINAL: bool = false;

struct Params {
  size: u32, // logits of a row, or parts of a row
  row_size: u32, // parts of a row
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read_write> parts: array<vec2u>; // [rows, row_size]: logit bits, id
@group(0) @binding(3) var<storage, read_write> drawn: array<u32>;

var<workgroup> logit_space: array<f32, 256>;
var<workgroup> id_space: array<u32, 256>;

@compute @workgroup_size(256)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  var largest = -3.4e38;
  var best = 0u;
  for (var i = group.x * 256u + thread; i < params.size; i += groups.x * 256u) {
    var logit = 0f;
    var id = i;
    if (FINAL) {
      let part = parts[group.y * params.row_size + i];
      logit = bitcast<f32>(part.x);
      id = part.y;
    } else {
      logit = logits[group.y * params.size + i];
    }
    if (logit > largest || (logit == largest && id < best)) {
      largest = logit;
      best = id;
    }
  }
  logit_space[thread] = largest;
  id_space[thread] = best;
  for (var width = 128u; width > 0u; width /= 2u) {
    workgroupBarrier();
    if (thread < width) {
      let other = logit_space[thread + width];
      let id = id_space[thread + width];
      if (other > logit_space[thread] || (other == logit_space[thread] && id < id_space[thread])) {
        logit_space[thread] = other;
        id_space[thread] = id;
      }
    }
  }
  if (thread == 0u) {
    if (FINAL) {
      drawn[group.y] = id_space[0];
    } else {
      parts[group.y * params.row_size + group.x] = vec2u(bitcast<u32>(logit_space[0]), id_space[0]);
    }
  }
}
