// Prelude of quantised formats: fields of 32-bit words.

// The f16 in the half `side` of a word.
fn half_of(word: u32, side: u32) -> f32 {
  return unpack2x16float(word >> (side % 2u * 16u)).x;
}

// The word of a plane of f16 scales that has the scale of piece p. Scales of pieces p and p + spread share a word, so that lanes side
// by side take whole words for two pieces each.
fn pair_word(p: u32, spread: u32) -> u32 {
  return p / (2u * spread) * spread + p % spread;
}

// Four bytes as numbers.
fn four_of(bytes: u32) -> vec4f {
  return vec4f((vec4u(bytes) >> vec4u(0u, 8u, 16u, 24u)) & vec4u(0xffu));
}

// Low nibbles of a piece are elements 0 to 15, high ones 16 to 31.
fn low_nibbles(q: vec4u) -> vec4u {
  return q & vec4u(0x0f0f0f0fu);
}

fn high_nibbles(q: vec4u) -> vec4u {
  return (q >> vec4u(4u)) & vec4u(0x0f0f0f0fu);
}

// Bits 4 of the bytes of four words, from a word that has them in bits 0 to 3 of its bytes (elements 0 to 15) or 4 to 7.
fn low_fifths(bits: u32) -> vec4u {
  return (vec4u(bits) << vec4u(4u, 3u, 2u, 1u)) & vec4u(0x10101010u);
}

fn high_fifths(bits: u32) -> vec4u {
  return (vec4u(bits) >> vec4u(0u, 1u, 2u, 3u)) & vec4u(0x10101010u);
}

// Bits 4 and 5 of the bytes of four words, from a word that has them in bits 2i and 2i + 1 of its bytes.
fn sixths(bits: u32) -> vec4u {
  return vec4u(bits << 4u, bits << 2u, bits, bits >> 2u) & vec4u(0x30303030u);
}
