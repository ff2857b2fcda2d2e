// Rows of x for subgroup matrices: normed if asked, as f16 with zeros past their columns, each scaled by a power of two that
// brings its largest element to between 2^13 and 2^14. With: reduce, rows-plain or rows-summed. One workgroup of THREADS = LANES
// per row, in registers if it fits.
override COLS: u32; // a multiple of 4, and so is where the norm begins, where WIDE
override X_STRIDE: u32; // elements from row to row of x
override OUT_STRIDE: u32; // words of a row; an even number
override NORM: bool;
override GATHER: bool; // row i is x[rows[i]]
override EPS: f32;
override WIDE: bool;
const FOURS: u32 = OUT_STRIDE / 2u; // vec4s of a row, padding included
const OWN: u32 = (FOURS + THREADS - 1u) / THREADS;
const KEPT: u32 = min(OWN, 16u);

struct Params {
  norm: u32, // first element of the norm weights
  slice_stride: u32, // vec4s from the sums of a slice to those of the next
}
var<uniform> params: Params;
var<storage, read> vectors: array<vec4f>;
var<storage, read> rows: array<u32>;
var<storage, read_write> out: array<vec2u>;
var<storage, read_write> scales: array<f32>; // factor of a row's products

// Four elements of the norm weights.
fn load_norm(c: u32) -> vec4f {
  if (!NORM) {
    return vec4f(1f);
  }
  if (WIDE) {
    return vectors[(params.norm + min(c, COLS - 4u)) / 4u];
  }
  var four = vec4f();
  /* unroll */ for (var k = 0u; k < 4u; k++) {
    let at = params.norm + min(c + k, COLS - 1u);
    four[k] = vectors[at / 4u][at % 4u];
  }
  return four;
}

@compute @workgroup_size(THREADS)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let row = group.x;
  var origin = row * X_STRIDE;
  if (GATHER) {
    origin = rows[row] * X_STRIDE;
  }
  var kept: array<vec4f, KEPT> = array<vec4f, KEPT>();
  var squares = vec4f();
  var largest = vec4f();
  /* unroll */ for (var i = 0u; i < KEPT; i++) {
    let four = load_x(origin, (i * THREADS + thread) * 4u);
    squares = fma(four, four, squares);
    kept[i] = four * load_norm((i * THREADS + thread) * 4u);
    largest = max(largest, abs(kept[i]));
  }
  for (var i = KEPT * THREADS + thread; i < FOURS; i += THREADS) {
    let four = load_x(origin, i * 4u);
    squares = fma(four, four, squares);
    largest = max(largest, abs(four * load_norm(i * 4u)));
  }
  var scale = 1f;
  if (NORM) {
    let sums = reduce_sum(squares, thread);
    scale = inverseSqrt((sums.x + sums.y + sums.z + sums.w) / f32(COLS) + EPS);
  }
  let tops = reduce_max(largest, thread);
  let top = scale * max(max(tops.x, tops.y), max(tops.z, tops.w));
  // the exponent from the bits; rows of zeros, or without a finite maximum, are not scaled
  let exponent = i32(bitcast<u32>(top) >> 23u) - 127;
  let shift = select(0, 13 - exponent, top > 0f && exponent < 128 && exponent > -100);
  let factor = scale * exp2(f32(shift));
  if (thread == 0u) {
    scales[row] = exp2(f32(-shift));
  }
  /* unroll */ for (var i = 0u; i < KEPT; i++) {
    let at = i * THREADS + thread;
    let four = factor * kept[i];
    if (FOURS % THREADS == 0u || at < FOURS) {
      out[row * FOURS + at] = vec2u(pack2x16float(four.xy), pack2x16float(four.zw));
    }
  }
  for (var i = KEPT * THREADS + thread; i < FOURS; i += THREADS) {
    let four = factor * load_x(origin, i * 4u) * load_norm(i * 4u);
    out[row * FOURS + i] = vec2u(pack2x16float(four.xy), pack2x16float(four.zw));
  }
}
