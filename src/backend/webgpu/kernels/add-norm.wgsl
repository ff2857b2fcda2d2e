// x[row] += norm(result[row]). With: reduce. One workgroup of THREADS = LANES per row.
override COLS: u32;
override EPS: f32;

struct Params {
  norm: u32, // first element of the norm weights
}
var<uniform> params: Params;
var<storage, read> result: array<f32>;
var<storage, read> vectors: array<f32>;
var<storage, read_write> x: array<f32>;

@compute @workgroup_size(THREADS)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let first = group.x * COLS;
  var squares = 0f;
  for (var c = thread; c < COLS; c += THREADS) {
    squares += result[first + c] * result[first + c];
  }
  let scale = inverseSqrt(reduce_sum(vec4f(squares), thread).x / f32(COLS) + EPS);
  for (var c = thread; c < COLS; c += THREADS) {
    x[first + c] += result[first + c] * scale * vectors[params.norm + c];
  }
}
