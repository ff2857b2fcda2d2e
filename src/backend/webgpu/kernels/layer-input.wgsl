// The products of the layer kernel's last stage where queries, keys and values have one format. With: a stage as input.
fn row_start_input(block: u32, r: u32) -> u32 {
  let kind = kind_of(block);
  let matrix = select(select(params.q, params.k, kind == 1u), params.v, kind == 2u);
  return matrix + matrix_row(block, r) * STRIDE_input;
}

fn run_heads(block: u32, origin: u32, norm: u32, thread: u32) {
  run_input(block, origin, norm, thread);
}
