// Elements of a quantised embedding. With: nibbles, and the format as `first`.

// Elements 4i to 4i + 3 of a row. row: its first vector
fn four_of_row(row: u32, i: u32) -> vec4f {
  return four_first(load_piece_first(row, i / 8u), i / 8u, i % 8u);
}
