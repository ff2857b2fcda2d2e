// The last stage of a chain: the next layer's queries, keys and values as they come out of the product, for finish-heads.wgsl.
// With: chain-core, chain-stage as input.
override QUERY_ROWS: u32;
override KV_ROWS: u32; // multiples of SUMS_input
var<storage, read_write> projected: array<f32>;

fn row_start_input(block: u32, r: u32) -> u32 {
  var row = block * SUMS_input;
  var piece = params.q;
  if (row >= QUERY_ROWS + KV_ROWS) {
    row -= QUERY_ROWS + KV_ROWS;
    piece = params.v;
  } else if (row >= QUERY_ROWS) {
    row -= QUERY_ROWS;
    piece = params.k;
  }
  return piece + (row + r) * STRIDE_input;
}

fn last_stage(block: u32, thread: u32) {
  run_input(block, params.links + ATTENDED_LINKS + HIDDEN_LINKS + FEED_LINKS, params.input_norm, thread);
  workgroupBarrier();
  if (thread < SUMS_input) {
    let row = block * SUMS_input + thread;
    var value = scale_of() * sum_of(thread);
    let first = select(select(params.q_bias, params.k_bias, row >= QUERY_ROWS), params.v_bias, row >= QUERY_ROWS + KV_ROWS);
    if (first > 0u) {
      let skipped = select(select(0u, QUERY_ROWS, row >= QUERY_ROWS), QUERY_ROWS + KV_ROWS, row >= QUERY_ROWS + KV_ROWS);
      value += bias_of(first, row - skipped);
    }
    projected[row] = value;
  }
}
