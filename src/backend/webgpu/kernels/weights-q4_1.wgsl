// Weights of q4_1: d q + m. A row of PIECES pieces of 32: the nibbles of each, a vector, then d and m of each, f16. With: nibbles, halves, rows.
override PIECES_STAGE: u32;
const HAS_HALVES_STAGE: bool = false; // of their own scales

struct Piece_STAGE {
  quants: vec4u,
  scales: u32, // d, m
}

// row: its first vector
fn load_piece_STAGE(row: u32, p: u32) -> Piece_STAGE {
  let word = PIECES_STAGE * 4u + p;
  return Piece_STAGE(vector_STAGE(row + p), word_STAGE(row, word));
}

// Codes of elements 4i to 4i + 3.
fn codes_STAGE(w: Piece_STAGE, i: u32) -> vec4f {
  if (i >= 4u) {
    return high_nibbles(w.quants[i % 4u]);
  }
  return low_nibbles(w.quants[i % 4u]);
}

// A weight is code × x + y in the first half of the piece and in the second.
fn terms_STAGE(w: Piece_STAGE, p: u32) -> vec4f {
  return vec4f(unpack2x16float(w.scales), 0f, 0f);
}
