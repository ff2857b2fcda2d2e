// Prelude of quantised formats: the f16 in the half `side` of a word.
fn half_of(word: u32, side: u32) -> f32 {
  return unpack2x16float(word >> (side % 2u * 16u)).x;
}
