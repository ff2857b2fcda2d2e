// Prelude of kernels that read the keys and values of a cache of f16 or f32, in vectors of 16 bytes. With: storage, step.
alias CacheVector = vec4u;
const VECTOR_WORDS: u32 = 4u;
const IS_SCALED: bool = false; // rows have scales
const START_STRIDE: u32 = ROW_VECTORS; // from token to token, of what start_at returns

// Says for an invocation that reads from a lane's vector on where the key and the value of a token lie (cache_place).
fn start_at(place: u32, lane: u32) -> u32 {
  return place * ROW_VECTORS + lane;
}

fn key_at(start: u32, lane: u32) -> u32 {
  return start;
}

fn value_at(start: u32, lane: u32) -> u32 {
  return start;
}

fn scales_at(start: u32) -> u32 {
  return 0u;
}

fn scales_in(vector: CacheVector) -> vec2f {
  return vec2f(1f);
}

// Elements of a vector of f16 for a subgroup matrix.
fn key_halves(vector: CacheVector) -> vec4u {
  return vector;
}

fn value_halves(vector: CacheVector, scale: f32) -> vec4u {
  return vector;
}
