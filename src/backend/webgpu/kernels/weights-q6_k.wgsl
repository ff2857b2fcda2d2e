// Weights of q6_k: d s (q - 32), with s of 16 elements. A row of PIECES pieces of 32: the nibbles of each, a vector; bits 4 and 5
// of elements 0 to 15 of each, a word (bits 2i and 2i + 1 of byte b: element 4i + b), and of 16 to 31; two s of each, signed
// bytes; then d of eight pieces, f16. With: nibbles, rows.
override PIECES_STAGE: u32;

struct Piece_STAGE {
  quants: vec4u,
  tops: vec2u,
  small: u32, // s of two pieces
  scales: u32, // d of sixteen pieces
}

// row: its first vector
fn load_piece_STAGE(row: u32, p: u32) -> Piece_STAGE {
  let first = PIECES_STAGE * 4u + p;
  let second = PIECES_STAGE * 5u + p;
  let small = PIECES_STAGE * 6u + p / 2u;
  let scales = PIECES_STAGE * 6u + PIECES_STAGE / 2u + p / 16u;
  return Piece_STAGE(
    vector_STAGE(row + p),
    vec2u(word_STAGE(row, first), word_STAGE(row, second)),
    word_STAGE(row, small),
    word_STAGE(row, scales),
  );
}

// A piece that shares words with another: neighbours do, which other lanes take.
fn pair_STAGE(w: Piece_STAGE, other: Piece_STAGE) -> Piece_STAGE {
  return w;
}

// s of elements 0 to 15 and of 16 to 31.
fn small_of_STAGE(w: Piece_STAGE, p: u32) -> vec2f {
  let small = w.small >> (p % 2u * 16u);
  return vec2f(vec2i(vec2u(small << 24u, small << 16u)) >> vec2u(24u));
}

// Elements 4i to 4i + 3.
fn four_STAGE(w: Piece_STAGE, p: u32, i: u32) -> vec4f {
  let tops = (select(w.tops.x, w.tops.y, i >= 4u) >> (i % 4u * 2u)) & 0x03030303u;
  let bytes = ((w.quants[i % 4u] >> (i / 4u * 4u)) & 0x0f0f0f0fu) | (tops << 4u);
  let small = small_of_STAGE(w, p);
  return half_of(w.scales, p / 8u) * select(small.x, small.y, i >= 4u) * (four_of(bytes) - vec4f(32f));
}
