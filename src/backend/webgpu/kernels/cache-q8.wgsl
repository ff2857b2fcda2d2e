// Prelude of kernels that read the keys and values of a q8 cache, in vectors of eight int8. A key's row ends in one vector more:
// the f32 scales of the key and of the value of its token, since one load then brings both. With: int8-halves or int8-floats, step.
alias CacheVector = vec2u;
const IS_SCALED: bool = true;
const VECTOR_ELEMENTS: u32 = 8u;
const VECTOR_VEC4S: u32 = 2u;
const VECTOR_WORDS: u32 = 2u;
const KEY_VECTORS: u32 = ROW_VECTORS + 1u;
const START_STRIDE: u32 = 1u;

fn start_at(place: u32, lane: u32) -> u32 {
  return place;
}

fn key_at(start: u32, lane: u32) -> u32 {
  return start * KEY_VECTORS + lane;
}

fn value_at(start: u32, lane: u32) -> u32 {
  return start * ROW_VECTORS + lane;
}

fn scales_at(start: u32) -> u32 {
  return start * KEY_VECTORS + ROW_VECTORS;
}

// The scales of a key and of a value.
fn scales_in(vector: CacheVector) -> vec2f {
  return bitcast<vec2f>(vector);
}

fn low(vector: CacheVector) -> vec4f {
  return int8s(vector.x);
}

fn high(vector: CacheVector) -> vec4f {
  return int8s(vector.y);
}

// f16 holds every int8 exactly: a key's scale multiplies its scores instead.
fn key_halves(vector: CacheVector) -> vec4u {
  return halves(low(vector), high(vector));
}

fn value_halves(vector: CacheVector, scale: f32) -> vec4u {
  return halves(scale * low(vector), scale * high(vector));
}

fn halves(a: vec4f, b: vec4f) -> vec4u {
  return vec4u(pack2x16float(a.xy), pack2x16float(a.zw), pack2x16float(b.xy), pack2x16float(b.zw));
}

fn fma4(a: vec4f, b: vec4f, sum: f32) -> f32 {
  return fma(a.w, b.w, fma(a.z, b.z, fma(a.y, b.y, fma(a.x, b.x, sum))));
}
