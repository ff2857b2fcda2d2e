// Weights of q8_0: d q. A row of PIECES pieces of 32: a vector of elements 0 to 15 of each, one of 16 to 31 of each, then d of
// each, f16. With: nibbles, halves, rows.
override PIECES_STAGE: u32;
const HAS_HALVES_STAGE: bool = false; // of their own scales

struct Piece_STAGE {
  low: vec4u,
  high: vec4u,
  scales: u32, // of two pieces
}

// row: its first vector
fn load_piece_STAGE(row: u32, p: u32) -> Piece_STAGE {
  let word = PIECES_STAGE * 8u + p / 2u;
  return Piece_STAGE(
    vector_STAGE(row + p), vector_STAGE(row + PIECES_STAGE + p), word_STAGE(row, word));
}

// Codes of elements 4i to 4i + 3, 128 more than q.
fn codes_STAGE(w: Piece_STAGE, i: u32) -> vec4f {
  if (i >= 4u) {
    return four_bytes(w.high[i % 4u] ^ 0x80808080u);
  }
  return four_bytes(w.low[i % 4u] ^ 0x80808080u);
}

// A weight is code × x + y in the first half of the piece and in the second.
fn terms_STAGE(w: Piece_STAGE, p: u32) -> vec4f {
  let d = half_of(w.scales, p);
  return vec4f(d, -128f * d, 0f, 0f);
}
