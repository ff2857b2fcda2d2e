// Weights of q5_1: d q + m. A row of PIECES pieces of 32: the nibbles of each, a vector; the fifth bits of each, a word (bit i
// of byte b: element 4i + b); then d and m of each, f16. With: nibbles, rows.
override PIECES_STAGE: u32;

struct Piece_STAGE {
  quants: vec4u,
  fifths: u32,
  scales: u32, // d, m
}

// row: its first vector
fn load_piece_STAGE(row: u32, p: u32) -> Piece_STAGE {
  let fifths = PIECES_STAGE * 4u + p;
  let scales = PIECES_STAGE * 5u + p;
  return Piece_STAGE(
    vector_STAGE(row + p), word_STAGE(row, fifths), word_STAGE(row, scales));
}

// A piece that shares words with another: none does.
fn pair_STAGE(w: Piece_STAGE, other: Piece_STAGE) -> Piece_STAGE {
  return w;
}

// Elements 4i to 4i + 3.
fn four_STAGE(w: Piece_STAGE, p: u32, i: u32) -> vec4f {
  let scales = unpack2x16float(w.scales);
  let bytes = ((w.quants[i % 4u] >> (i / 4u * 4u)) & 0x0f0f0f0fu) | (((w.fifths >> i) & 0x01010101u) << 4u);
  return fma(vec4f(scales.x), four_of(bytes), vec4f(scales.y));
}
