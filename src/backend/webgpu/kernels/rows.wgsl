// Prelude: rows of a quantised matrix, in a buffer of their own.
var<storage, read> weights_STAGE: array<vec4u>;

fn vector_STAGE(at: u32) -> vec4u {
  return weights_STAGE[at];
}

// row: its first vector
fn word_STAGE(row: u32, word: u32) -> u32 {
  return weights_STAGE[row + word / 4u][word % 4u];
}
