// Prelude of sampling: logits as keys of their bits, because a shader compiler may assume that every f32 is finite.
const NO_TOKEN: u32 = 0xffffffffu; // sample of a row that cannot be sampled
const FIRST_KEY: u32 = 0x00800000u; // of the lowest finite number; -Infinity, a mask, is one below
const INFINITE_KEY: u32 = 0xff800000u; // of +Infinity

// Larger logits have larger keys; NaN has the largest.
fn logit_key(bits: u32) -> u32 {
  let magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) {
    return 0xffffffffu;
  }
  if (magnitude == 0u) {
    return 0x80000000u;
  }
  return select(bits | 0x80000000u, ~bits, bits >= 0x80000000u);
}
