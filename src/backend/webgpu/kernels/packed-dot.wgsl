// Prelude: the sum of four products of signed bytes, by the language's function.
fn dot_bytes(a: u32, b: u32) -> i32 {
  return dot4I8Packed(a, b);
}
