// sum + a piece of q8_0 · x. With: quants, weights-q8_0.
fn dot_piece_STAGE(w: Piece_STAGE, p: u32, x: Digits, sum: f32) -> f32 {
  let ones = bytes_dot(w.low, x.words[0]) + bytes_dot(w.high, x.words[1]);
  let others = bytes_dot(w.low, x.words[2]) + bytes_dot(w.high, x.words[3]) +
    ((bytes_dot(w.low, x.words[4]) + bytes_dot(w.high, x.words[5])) << 8u);
  return fma(fma(f32(others), 256f, f32(ones)), half_of(w.scales, p) * x.scale, sum);
}
