// Rows of x for a matrix product: gathered and normed if asked, padded with zeros to OUT_STRIDE.
// With: reduce. One workgroup of THREADS = LANES per row.
override COLS: u32;
override X_STRIDE: u32; // elements from row to row of x
override OUT_STRIDE: u32;
override NORM: bool;
override GATHER: bool; // row i is x[rows[i]]
override EPS: f32;

struct Params {
  norm: u32, // first element of the norm weights
}
var<uniform> params: Params;
var<storage, read> x: array<f32>;
var<storage, read> vectors: array<f32>;
var<storage, read> rows: array<u32>;
var<storage, read_write> out: array<f32>;

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
    scale = inverseSqrt(reduce_sum(vec4f(squares), thread).x / f32(COLS) + EPS);
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
