// Rows ready for a matrix product: copied, normed where asked, each row padded with zeros to OUT_STRIDE.
// With: reduce. One workgroup of THREADS = LANES a row.
const COLS: u32 = 4u;
const X_STRIDE: u32 = 4u; // elements from row to row of x
const OUT_STRIDE: u32 = 4u;
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
@group(0) @binding(4) var<storage, read_write> out: array<f32>;

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
  var scale = 1f;
  if (NORM) {
    var squares = 0f;
    for (var c = thread; c < COLS; c += THREADS) {
      let value = x[origin * X_STRIDE + c];
      squares += value * value;
    }
    scale = inverseSqrt(team_sum(vec4f(squares), thread).x / f32(COLS) + EPS);
  }
  for (var c = thread; c < OUT_STRIDE; c += THREADS) {
    var value = 0f;
    if (c < COLS) {
      value = x[origin * X_STRIDE + c] * scale;
      if (NORM) {
        value *= vectors[params.norm + c];
      }
    }
    out[row * OUT_STRIDE + c] = value;
  }
}
