// Softmax of scores, up to its powers: the largest score of each head, and the factor of its weights, 1 / (mass × heads of a
// run). With: reduce. One workgroup of THREADS = LANES per head and sequence.
const MASKED: u32 = 0xff800000u; // bits of -Infinity
const LOWEST: f32 = -3e38;

struct Params {
  lengths: u32, // offset in `step` of the first sequence's length
  unit: u32, // tokens
  heads: u32,
  capacity: u32,
  run: u32, // heads pooled into one
}
var<uniform> params: Params;
var<storage, read> step: array<u32>;
var<storage, read> scores: array<u32>; // f32 bits
var<storage, read_write> states: array<vec2f>; // [sequences, heads]

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let units = (step[params.lengths + group.y] + params.unit - 1u) / params.unit;
  let row = group.y * params.heads + group.x;
  let origin = row * params.capacity;
  var largest = LOWEST;
  for (var i = thread; i < units; i += THREADS) {
    let bits = scores[origin + i];
    if (bits != MASKED) {
      largest = max(largest, bitcast<f32>(bits));
    }
  }
  largest = reduce_max(vec4f(largest), thread).x;
  var mass = 0f;
  for (var i = thread; i < units; i += THREADS) {
    let bits = scores[origin + i];
    if (bits != MASKED) {
      mass += exp(bitcast<f32>(bits) - largest);
    }
  }
  mass = reduce_sum(vec4f(mass), thread).x;
  if (thread == 0u) {
    // a head whose scores are all masked has no mass
    states[row] = vec2f(largest, select(0f, 1f / (mass * f32(params.run)), mass > 0f));
  }
}
