// Prelude: the sum of four products of signed bytes, where the language has no function for it.
fn dot_bytes(a: u32, b: u32) -> i32 {
  const shifts = vec4u(24u, 16u, 8u, 0u);
  let left = vec4i(vec4u(a) << shifts) >> vec4u(24u);
  let right = vec4i(vec4u(b) << shifts) >> vec4u(24u);
  let products = left * right;
  return products.x + products.y + products.z + products.w;
}
