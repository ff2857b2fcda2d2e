// Prelude of kernels that store rows of a q8 cache.
// Magnitude of an element, then 1 for one that is not finite: the largest of a row make its scale.
fn magnitude(value: f32) -> vec4f {
  let is_special = (bitcast<u32>(value) & 0x7f800000u) == 0x7f800000u;
  return vec4f(select(abs(value), 0f, is_special), select(0f, 1f, is_special), 0f, 0f);
}

fn scale_of_row(largest: vec4f) -> f32 {
  return largest.x / 127f;
}

// The scale as it is stored. A row with NaN or infinity has none: its token must not be attended to as if it had.
fn scale_bits(largest: vec4f) -> u32 {
  return select(0x7fc00000u, bitcast<u32>(scale_of_row(largest)), largest.y == 0f);
}

fn int8_of(value: f32, scale: f32) -> u32 {
  let element = select(0f, round(value / scale), scale > 0f);
  return bitcast<u32>(i32(clamp(element, -127f, 127f))) & 0xffu;
}
