// Weights of q4_0: d (q - 8). A row of PIECES pieces of 32: the nibbles of each, a vector, then d of each, f16. With: nibbles, rows.
override PIECES_STAGE: u32;

struct Piece_STAGE {
  quants: vec4u,
  scales: u32, // of two pieces
}

// row: its first vector
fn load_piece_STAGE(row: u32, p: u32) -> Piece_STAGE {
  let word = PIECES_STAGE * 4u + p / 2u;
  return Piece_STAGE(vector_STAGE(row + p), word_STAGE(row, word));
}

// Elements 4i to 4i + 3.
fn four_STAGE(w: Piece_STAGE, p: u32, i: u32) -> vec4f {
  return half_of(w.scales, p) * (four_of((w.quants[i % 4u] >> (i / 4u * 4u)) & 0x0f0f0f0fu) - vec4f(8f));
}
