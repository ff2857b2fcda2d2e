// Prelude of kernels that read weights or cache rows, by vectors of 16 bytes: 4 f32, or 8 f16 or bf16.
override DTYPE: u32; // 0 f32, 1 f16, 2 bf16
const VECTOR_ELEMENTS: u32 = select(8u, 4u, DTYPE == 0u); // elements of a vector
const VECTOR_VEC4S: u32 = VECTOR_ELEMENTS / 4u;

fn pair(bits: u32) -> vec2f {
  if (DTYPE == 1u) {
    return unpack2x16float(bits);
  }
  return vec2f(bitcast<f32>(bits << 16u), bitcast<f32>(bits & 0xffff0000u));
}

// Elements 0 to 3 of a vector.
fn low(vector: vec4u) -> vec4f {
  if (DTYPE == 0u) {
    return bitcast<vec4f>(vector);
  }
  return vec4f(pair(vector.x), pair(vector.y));
}

// Elements 4 to 7 of a vector of 16-bit elements.
fn high(vector: vec4u) -> vec4f {
  return vec4f(pair(vector.z), pair(vector.w));
}

fn fma4(a: vec4f, b: vec4f, sum: f32) -> f32 {
  return fma(a.w, b.w, fma(a.z, b.z, fma(a.y, b.y, fma(a.x, b.x, sum))));
}
