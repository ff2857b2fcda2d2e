// Prelude: f32 numbers as u32 keys in the same order.

// Larger numbers have larger keys; NaN has the smallest.
fn key_of(number: f32) -> u32 {
  let bits = bitcast<u32>(number);
  if ((bits & 0x7fffffffu) > 0x7f800000u) {
    return 0u;
  }
  if ((bits & 0x7fffffffu) == 0u) {
    return 0x80000000u;
  }
  return select(bits | 0x80000000u, ~bits, bits >= 0x80000000u);
}

fn number_of(key: u32) -> f32 {
  return bitcast<f32>(select(~key, key & 0x7fffffffu, key >= 0x80000000u));
}

// Orders (position, key) pairs: larger key first, ties to the lower position.
fn comes_first(a: vec2u, b: vec2u) -> bool {
  return a.y > b.y || (a.y == b.y && a.x < b.x);
}
