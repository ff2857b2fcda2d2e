// Makes all scores of a sequence -Infinity. An invocation masks one unit of one head.
struct Params {
  lengths: u32, // offset in `step` of the first sequence's length
  heads: u32,
  capacity: u32,
}
var<uniform> params: Params;
var<storage, read> step: array<u32>;
var<storage, read_write> scores: array<u32>; // f32 bits: WGSL has no infinite constant

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x < step[params.lengths + id.z]) {
    scores[(id.z * params.heads + id.y) * params.capacity + id.x] = 0xff800000u;
  }
}
