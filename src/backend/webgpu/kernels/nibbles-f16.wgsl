// Prelude of quantised formats: codes of four bits and of a byte as numbers. Two at a time they become the last bits of an f16
// beside 1024, whose unit in the last place is 1, and then f32; all exact.
enable f16;

fn two_codes(bits: u32) -> vec2f {
  return vec2f(bitcast<vec2h>(bits | 0x64006400u) - vec2h(1024h));
}

// The same from codes times 16.
fn two_sixteenths(bits: u32) -> vec2f {
  return vec2f(fma(bitcast<vec2h>(bits | 0x64006400u), vec2h(0.0625h), vec2h(-64h)));
}

fn four_bytes(bytes: u32) -> vec4f {
  let evens = two_codes(bytes & 0x00ff00ffu);
  let odds = two_codes((bytes >> 8u) & 0x00ff00ffu);
  return vec4f(evens.x, odds.x, evens.y, odds.y);
}

fn low_nibbles(word: u32) -> vec4f {
  let evens = two_codes(word & 0x000f000fu);
  let odds = two_codes((word >> 8u) & 0x000f000fu);
  return vec4f(evens.x, odds.x, evens.y, odds.y);
}

fn high_nibbles(word: u32) -> vec4f {
  let evens = two_sixteenths(word & 0x00f000f0u);
  let odds = two_sixteenths((word >> 8u) & 0x00f000f0u);
  return vec4f(evens.x, odds.x, evens.y, odds.y);
}
