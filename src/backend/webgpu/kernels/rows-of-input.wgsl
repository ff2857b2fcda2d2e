// Prelude: rows of a quantised matrix in the buffer of the stage `input`: bindings are few.
fn vector_STAGE(at: u32) -> vec4u {
  return weights_input[at];
}

// row: its first vector
fn word_STAGE(row: u32, word: u32) -> u32 {
  return weights_input[row + word / 4u][word % 4u];
}
