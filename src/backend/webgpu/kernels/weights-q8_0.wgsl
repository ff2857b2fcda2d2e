// Weights of q8_0: d q. A row of PIECES pieces of 32: a vector of elements 0 to 15 of each, one of 16 to 31 of each, then d of
// each, f16. With: nibbles, rows.
override PIECES_STAGE: u32;
const SPREAD_STAGE: u32 = select(1u, 32u, PIECES_STAGE % 64u == 0u); // of the pieces that share a word

struct Piece_STAGE {
  low: vec4u,
  high: vec4u,
  scales: u32, // of two pieces
}

// row: its first vector
fn load_piece_STAGE(row: u32, p: u32) -> Piece_STAGE {
  let word = PIECES_STAGE * 8u + pair_word(p, SPREAD_STAGE);
  return Piece_STAGE(
    vector_STAGE(row + p), vector_STAGE(row + PIECES_STAGE + p), word_STAGE(row, word));
}

// A piece whose scale is in the same word as that of another.
fn pair_STAGE(w: Piece_STAGE, other: Piece_STAGE) -> Piece_STAGE {
  var paired = w;
  paired.scales = other.scales;
  return paired;
}

// Elements 4i to 4i + 3.
fn four_STAGE(w: Piece_STAGE, p: u32, i: u32) -> vec4f {
  let bytes = select(w.low[i % 4u], w.high[i % 4u], i >= 4u) ^ 0x80808080u;
  return half_of(w.scales, p / SPREAD_STAGE) * (four_of(bytes) - vec4f(128f));
}
