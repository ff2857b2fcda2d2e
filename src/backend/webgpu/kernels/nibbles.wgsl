// Prelude of quantised formats: codes of four bits and of a byte as numbers.
fn four_bytes(bytes: u32) -> vec4f {
  return vec4f((vec4u(bytes) >> vec4u(0u, 8u, 16u, 24u)) & vec4u(0xffu));
}

fn low_nibbles(word: u32) -> vec4f {
  return four_bytes(word & 0x0f0f0f0fu);
}

fn high_nibbles(word: u32) -> vec4f {
  return four_bytes((word >> 4u) & 0x0f0f0f0fu);
}
