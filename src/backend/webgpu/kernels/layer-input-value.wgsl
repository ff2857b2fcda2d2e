// The products of the layer kernel's last stage where values have another format than queries and keys. With: stages of quantised
// weights as input and as value, of equal sizes.
fn row_start_input(block: u32, r: u32) -> u32 {
  return select(params.q, params.k, kind_of(block) == 1u) + matrix_row(block, r) * STRIDE_input;
}

fn row_start_value(block: u32, r: u32) -> u32 {
  return params.v + matrix_row(block, r) * STRIDE_value;
}

fn run_heads(block: u32, origin: u32, norm: u32, thread: u32) {
  if (kind_of(block) == 2u) {
    run_value(block, origin, norm, thread);
  } else {
    run_input(block, origin, norm, thread);
  }
}
