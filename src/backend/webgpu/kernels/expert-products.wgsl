// Products of the experts that route.wgsl chose. With: act-silu or act-gelu, reduce, and storage with embed-floats or a quantised format as
// `first` with embed-quantised. A workgroup of THREADS = LANES takes four rows of an expert.
// out[choice] = W[its expert] · x[its row]; with GATED, act(out) * that. With SUM, out[row] += Σ weight * W[expert] · x[choice] over the
// row's choices. The matrix may be spread over buffers: a dispatch takes the rows of one.
override ROWS: u32; // of one expert
override COLS: u32;
override STRIDE: u32; // vectors of a weight row
override X_STRIDE: u32; // vec4s of a row of x, zero past its columns
override OUT_STRIDE: u32;
override TOP: u32;
override GATED: bool;
override SUM: bool;
const FOURS: u32 = (COLS + 3u) / 4u;

struct Params {
  first_vector: u32, // of the weight slice
  first: u32, // first row of the weight slice
  rows: u32,
}
var<uniform> params: Params;
var<storage, read> x: array<vec4f>;
var<storage, read> chosen: array<u32>; // [rows, TOP, 2]
var<storage, read_write> out: array<f32>;

fn is_here(row: u32) -> bool {
  return row >= params.first && row < params.first + params.rows;
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let item = group.y; // a row with SUM, else a choice
  let first_row = group.x * 4u;
  var sums = vec4f();
  var expert = 0u;
  for (var k = 0u; k < select(1u, TOP, SUM); k++) {
    let choice = select(item, item * TOP + k, SUM);
    expert = chosen[2u * choice];
    let start = select(item / TOP, choice, SUM) * X_STRIDE;
    var products = vec4f();
    for (var i = thread; i < FOURS; i += THREADS) {
      let four = x[start + i];
      /* unroll */ for (var r = 0u; r < 4u; r++) {
        let row = expert * ROWS + min(first_row + r, ROWS - 1u);
        if (is_here(row)) {
          products[r] += dot(four_of_row(params.first_vector + (row - params.first) * STRIDE, i), four);
        }
      }
    }
    sums += select(1f, bitcast<f32>(chosen[2u * choice + 1u]), SUM) * products;
  }
  let totals = reduce_sum(sums, thread);
  let row = first_row + thread;
  if (thread >= 4u || row >= ROWS) {
    return;
  }
  let at = item * OUT_STRIDE + row;
  if (SUM) {
    out[at] += totals[thread];
  } else if (is_here(expert * ROWS + row)) {
    var value = totals[thread];
    if (GATED) {
      value *= act(out[at]);
    }
    out[at] = value;
  }
}
