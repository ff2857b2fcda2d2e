// Elements of an embedding of floats. With: storage.
var<storage, read> weights_first: array<vec4u>;

// Elements 4i to 4i + 3 of a row. row: its first vector
fn four_of_row(row: u32, i: u32) -> vec4f {
  let bits = weights_first[row + i / VECTOR_VEC4S];
  if (VECTOR_VEC4S == 2u && i % 2u == 1u) {
    return high(bits);
  }
  return low(bits);
}
