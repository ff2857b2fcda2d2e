// Prelude: the four int8 of a word as f32, on devices without f16 arithmetic. A byte b with its sign bit flipped is b + 128, and
// as the lowest bits of 2^23 it makes 2^23 + b + 128: no conversion, which GPUs do at a fraction of the rate of a sum.
fn int8s(word: u32) -> vec4f {
  let bytes = vec4u(word, word >> 8u, word >> 16u, word >> 24u) & vec4u(0xffu);
  return bitcast<vec4f>(bytes ^ vec4u(0x4b000080u)) - vec4f(8388736f);
}
