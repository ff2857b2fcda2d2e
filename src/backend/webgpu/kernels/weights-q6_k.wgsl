// Weights of q6_k: d s (q - 32), with s of 16 elements. A row of PIECES pieces of 32: the nibbles of each, a vector; bits 4 and 5
// of elements 0 to 15 of each, a word (bits 2i and 2i + 1 of byte b: element 4i + b), and of 16 to 31; two s of each, signed
// bytes; then d of eight pieces, f16. With: nibbles, halves, rows.
override PIECES_STAGE: u32;
const HAS_HALVES_STAGE: bool = true; // of their own scales

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

// Codes of elements 4i to 4i + 3.
fn codes_STAGE(w: Piece_STAGE, i: u32) -> vec4f {
  let tops = select(w.tops.x, w.tops.y, i >= 4u) >> (i % 4u * 2u);
  return four_bytes(((w.quants[i % 4u] >> (i / 4u * 4u)) & 0x0f0f0f0fu) | ((tops & 0x03030303u) << 4u));
}

// A weight is code × x + y in the first half of the piece, code × z + w in the second.
fn terms_STAGE(w: Piece_STAGE, p: u32) -> vec4f {
  let small = w.small >> (p % 2u * 16u);
  let s = half_of(w.scales, p / 8u) * vec2f(vec2i(vec2u(small << 24u, small << 16u)) >> vec2u(24u));
  return vec4f(s.x, -32f * s.x, s.y, -32f * s.y);
}
