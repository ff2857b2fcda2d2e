// Weights of q5_k: d s q - m t. A row of PIECES pieces of 32: the nibbles of each, a vector; the fifth bits of each, a word (bit i
// of byte b: element 4i + b); s and t of each, bytes; then d and m of eight pieces, f16. With: nibbles, rows.
override PIECES_STAGE: u32;

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

// A piece that shares words with another: neighbours do, which other lanes take.
fn pair_STAGE(w: Piece_STAGE, other: Piece_STAGE) -> Piece_STAGE {
  return w;
}

// d s and m t.
fn scales_of_STAGE(w: Piece_STAGE, p: u32) -> vec2f {
  let small = w.small >> (p % 2u * 16u);
  return unpack2x16float(w.scales) * vec2f(vec2u(small, small >> 8u) & vec2u(0xffu));
}

// Elements 4i to 4i + 3.
fn four_STAGE(w: Piece_STAGE, p: u32, i: u32) -> vec4f {
  let scales = scales_of_STAGE(w, p);
  let bytes = ((w.quants[i % 4u] >> (i / 4u * 4u)) & 0x0f0f0f0fu) | (((w.fifths >> i) & 0x01010101u) << 4u);
  return fma(vec4f(scales.x), four_of(bytes), vec4f(-scales.y));
}
