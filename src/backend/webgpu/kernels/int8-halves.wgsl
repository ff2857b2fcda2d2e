// Prelude: the four int8 of a word as f32, by f16 arithmetic on two at once. A byte b with its sign bit flipped is b + 128, and as the
// lowest bits of the f16 1024 it makes 1152 + b: exact, and b is what a subtraction leaves.
enable f16;
fn int8s(word: u32) -> vec4f {
  let even = bitcast<vec2<f16>>((word & 0x00ff00ffu) ^ 0x64806480u) - vec2<f16>(1152h);
  let odd = bitcast<vec2<f16>>(((word >> 8u) & 0x00ff00ffu) ^ 0x64806480u) - vec2<f16>(1152h);
  return vec4f(f32(even.x), f32(odd.x), f32(even.y), f32(odd.y));
}
