// Rows ready for the matrix units: normed where asked, as f16, each scaled by a power of two that brings its largest
// element to between 2^13 and 2^14, zeros past its columns. With: reduce. One workgroup of THREADS = LANES a row.
const COLS: u32 = 4u;
const X_STRIDE: u32 = 4u; // elements from row to row of x
const OUT_STRIDE: u32 = 1u; // words of a row
const NORM: bool = false;
const GATHER: bool = false; // row i is x[rows[i]]
const EPS: f32 = 1e-6;

struct Params {
  norm: u32, // first element of the norm weights
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> vectors: array<f32>;
@group(0) @binding(3) var<storage, read> rows: array<u32>;
@group(0) @binding(4) var<storage, read_write> out: array<u32>;
@group(0) @binding(5) var<storage, read_write> scales: array<f32>; // what the products of a row are to be multiplied by

@compute @workgroup_size(THREADS)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let row = group.x;
  var origin = row;
  if (GATHER) {
    origin = rows[row];
  }
  var squares = 0f;
  var largest = 0f;
  for (var c = thread; c < COLS; c += THREADS) {
    var value = x[origin * X_STRIDE + c];
    squares += value * value;
    if (NORM) {
      value *= vectors[params.norm + c];
    }
    largest = max(largest, abs(value));
  }
  var scale = 1f;
  if (NORM) {
    scale = inverseSqrt(team_sum(vec4f(squares), thread).x / f32(COLS) + EPS);
  }
  largest = scale * team_max(vec4f(largest), thread).x;
  // the exponent of the largest, from its bits; rows of zeros and of no finite largest stay as they are
  let exponent = i32(bitcast<u32>(largest) >> 23u) - 127;
  let shift = select(0, 13 - exponent, largest > 0f && exponent < 128 && exponent > -100);
  let factor = scale * exp2(f32(shift));
  if (thread == 0u) {
    scales[row] = exp2(f32(-shift));
  }
  for (var word = thread; word < OUT_STRIDE; word += THREADS) {
    var pair = vec2f();
    /* unroll */ for (var k = 0u; k < 2u; k++) {
      let c = word * 2u + k;
      if (c < COLS) {
        pair[k] = x[origin * X_STRIDE + c] * factor;
        if (NORM) {
          pair[k] *= vectors[params.norm + c];
        }
      }
    }
    out[row * OUT_STRIDE + word] = pack2x16float(pair);
  }
}
