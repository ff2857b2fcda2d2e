// sum + a piece of q8_0 · x. With: quants, weights-q8_0.
fn dot_piece_STAGE(w: Piece_STAGE, p: u32, x: Digits, sum: f32) -> f32 {
  return fma(f32(piece_dot(w.low, w.high, x)), half_of(w.scales, p / SPREAD_STAGE) * x.scale, sum);
}
