// Weights of q4_0: d (q - 8). A row of PIECES pieces of 32: the nibbles of each, a vector, then d of each, f16. With: nibbles, rows.
override PIECES_STAGE: u32;
const SPREAD_STAGE: u32 = select(1u, 32u, PIECES_STAGE % 64u == 0u); // of the pieces that share a word

struct Piece_STAGE {
  quants: vec4u,
  scales: u32, // of two pieces
}

// row: its first vector
fn load_piece_STAGE(row: u32, p: u32) -> Piece_STAGE {
  let word = PIECES_STAGE * 4u + pair_word(p, SPREAD_STAGE);
  return Piece_STAGE(vector_STAGE(row + p), word_STAGE(row, word));
}

// A piece whose scale is in the same word as that of another.
fn pair_STAGE(w: Piece_STAGE, other: Piece_STAGE) -> Piece_STAGE {
  var paired = w;
  paired.scales = other.scales;
  return paired;
}

// Elements 4i to 4i + 3.
fn four_STAGE(w: Piece_STAGE, p: u32, i: u32) -> vec4f {
  return half_of(w.scales, p / SPREAD_STAGE) * (four_of((w.quants[i % 4u] >> (i / 4u * 4u)) & 0x0f0f0f0fu) - vec4f(8f));
}
