// The units whose score is above a threshold, and unit 0 in the places of the others. An invocation writes one place of one head.
struct Params {
  lengths: u32, // offset in `step` of the first sequence's length
  unit: u32, // tokens
  heads: u32,
  capacity: u32,
  count: u32, // places
  unit_capacity: u32,
  threshold: f32,
}
var<uniform> params: Params;
var<storage, read> step: array<u32>;
var<storage, read> scores: array<f32>;
var<storage, read_write> units: array<u32>;

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= params.count) {
    return;
  }
  let row = id.z * params.heads + id.y;
  var unit = 0u;
  if (id.x * params.unit < step[params.lengths + id.z] && scores[row * params.capacity + id.x] > params.threshold) {
    unit = id.x;
  }
  units[row * params.unit_capacity + id.x] = unit;
}
