// Pools the scores of a run of heads: their maximum, or the mean of their softmax weights. An invocation pools one unit.
override IS_MAX: bool;
const MASKED: u32 = 0xff800000u; // bits of -Infinity

struct Params {
  lengths: u32, // offset in `step` of the first sequence's length
  unit: u32, // tokens
  run: u32, // heads pooled into one
  capacity: u32,
  heads: u32, // of the result
  out_capacity: u32,
}
var<uniform> params: Params;
var<storage, read> step: array<u32>;
var<storage, read> scores: array<u32>; // f32 bits
var<storage, read> states: array<vec2f>; // of weigh-scores
var<storage, read_write> pooled: array<u32>; // f32 bits

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let units = (step[params.lengths + id.z] + params.unit - 1u) / params.unit;
  if (id.x >= units) {
    return;
  }
  let row = id.z * params.heads + id.y;
  var has_score = false;
  var value = 0f;
  for (var h = 0u; h < params.run; h++) {
    let source = row * params.run + h;
    let bits = scores[source * params.capacity + id.x];
    if (bits != MASKED) {
      let score = bitcast<f32>(bits);
      if (IS_MAX) {
        value = select(score, max(value, score), has_score);
      } else {
        let state = states[source];
        value += exp(score - state.x) * state.y;
      }
      has_score = true;
    }
  }
  pooled[row * params.out_capacity + id.x] = select(MASKED, bitcast<u32>(value), has_score);
}
