// Last stage of the layer kernel, for heads with a norm of their own: the next layer's projected queries, keys and values, which
// finish-heads.wgsl finishes. With: layer-core, a stage as input, and layer-input or layer-input-value.
override QUERY_ROWS: u32;
override KV_ROWS: u32; // multiples of SUMS_input
var<storage, read_write> projected: array<f32>;

// 0 for rows of queries, 1 of keys, 2 of values.
fn kind_of(block: u32) -> u32 {
  let row = block * SUMS_input;
  return select(select(0u, 1u, row >= QUERY_ROWS), 2u, row >= QUERY_ROWS + KV_ROWS);
}

// A row of the workgroup among those of its matrix.
fn matrix_row(block: u32, r: u32) -> u32 {
  var row = block * SUMS_input;
  if (row >= QUERY_ROWS + KV_ROWS) {
    row -= QUERY_ROWS + KV_ROWS;
  } else if (row >= QUERY_ROWS) {
    row -= QUERY_ROWS;
  }
  return row + r;
}

fn last_stage(block: u32, thread: u32) {
  run_heads(block, params.mailbox + ATTENDED_WORDS + HIDDEN_WORDS + GATED_WORDS, params.input_norm, thread);
  workgroupBarrier();
  if (thread < SUMS_input) {
    let row = block * SUMS_input + thread;
    var value = scale_of() * sum_of_input(thread);
    let first = select(select(params.q_bias, params.k_bias, row >= QUERY_ROWS), params.v_bias, row >= QUERY_ROWS + KV_ROWS);
    if (first > 0u) {
      let skipped = select(select(0u, QUERY_ROWS, row >= QUERY_ROWS), QUERY_ROWS + KV_ROWS, row >= QUERY_ROWS + KV_ROWS);
      value += bias_of(first, row - skipped);
    }
    projected[row] = value;
  }
}
