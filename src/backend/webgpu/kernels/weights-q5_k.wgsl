// Weights of q5_k: d s q - m t. A row of PIECES pieces of 32: the nibbles of each, a vector; the fifth bits of each, a word (bit i
// of byte b: element 4i + b); s and t of each, bytes; then d and m of eight pieces, f16. With: nibbles, halves, rows.
override PIECES_STAGE: u32;
const HAS_HALVES_STAGE: bool = false; // of their own scales

struct Piece_STAGE {
  quants: vec4u,
  fifths: u32,
  small: u32, // s and t of two pieces
  scales: u32, // d, m
}

// row: its first vector
fn load_piece_STAGE(row: u32, p: u32) -> Piece_STAGE {
  let fifths = PIECES_STAGE * 4u + p;
  let small = PIECES_STAGE * 5u + p / 2u;
  let scales = PIECES_STAGE * 5u + PIECES_STAGE / 2u + p / 8u;
  return Piece_STAGE(
    vector_STAGE(row + p),
    word_STAGE(row, fifths),
    word_STAGE(row, small),
    word_STAGE(row, scales),
  );
}

// Codes of elements 4i to 4i + 3.
fn codes_STAGE(w: Piece_STAGE, i: u32) -> vec4f {
  return four_bytes(((w.quants[i % 4u] >> (i / 4u * 4u)) & 0x0f0f0f0fu) | (((w.fifths >> i) & 0x01010101u) << 4u));
}

// A weight is code × x + y in the first half of the piece and in the second.
fn terms_STAGE(w: Piece_STAGE, p: u32) -> vec4f {
  let small = w.small >> (p % 2u * 16u);
  let both = unpack2x16float(w.scales) * vec2f(vec2u(small, small >> 8u) & vec2u(0xffu));
  return vec4f(both.x, -both.y, 0f, 0f);
}
