// sum + a piece of q4_0 · x. With: quants, weights-q4_0.
fn dot_piece_STAGE(w: Piece_STAGE, p: u32, x: Digits, sum: f32) -> f32 {
  let whole = piece_dot(low_nibbles(w.quants), high_nibbles(w.quants), x) - 8i * (x.sums.x + x.sums.y);
  return fma(f32(whole), half_of(w.scales, p / SPREAD_STAGE) * x.scale, sum);
}
