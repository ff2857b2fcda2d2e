// The lowest id of the largest logit of each row, in two passes: over parts of the row, then over the parts.
// A row that cannot be drawn gives NO_TOKEN. With: logit-keys. One workgroup of 256 a part and row.
override FINAL: bool;

struct Params {
  size: u32, // logits of a row, or parts of a row
  row_size: u32, // parts of a row
}
var<uniform> params: Params;
var<storage, read> logits: array<u32>; // f32 bits
var<storage, read_write> parts: array<vec2u>; // [rows, row_size]: key, id
var<storage, read_write> drawn: array<u32>;

var<workgroup> key_space: array<u32, 256>;
var<workgroup> id_space: array<u32, 256>;

@compute @workgroup_size(256)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  var largest = 0u; // less than any key
  var best = 0u;
  for (var i = group.x * 256u + thread; i < params.size; i += groups.x * 256u) {
    var key = 0u;
    var id = i;
    if (FINAL) {
      let part = parts[group.y * params.row_size + i];
      key = part.x;
      id = part.y;
    } else {
      key = logit_key(logits[group.y * params.size + i]);
    }
    if (key > largest || (key == largest && id < best)) {
      largest = key;
      best = id;
    }
  }
  key_space[thread] = largest;
  id_space[thread] = best;
  for (var width = 128u; width > 0u; width /= 2u) {
    workgroupBarrier();
    if (thread < width) {
      let other = key_space[thread + width];
      let id = id_space[thread + width];
      if (other > key_space[thread] || (other == key_space[thread] && id < id_space[thread])) {
        key_space[thread] = other;
        id_space[thread] = id;
      }
    }
  }
  if (thread == 0u) {
    let key = key_space[0];
    if (FINAL) {
      drawn[group.y] = select(NO_TOKEN, id_space[0], key >= FIRST_KEY && key < INFINITE_KEY);
    } else {
      parts[group.y * params.row_size + group.x] = vec2u(key, id_space[0]);
    }
  }
}
