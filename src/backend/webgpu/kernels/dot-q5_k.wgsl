// sum + a piece of q5_k · x. With: quants, weights-q5_k.
fn dot_piece_STAGE(w: Piece_STAGE, p: u32, x: Digits, sum: f32) -> f32 {
  let scales = x.scale * scales_of_STAGE(w, p);
  let whole = piece_dot(
    low_nibbles(w.quants) | low_fifths(w.fifths), high_nibbles(w.quants) | high_fifths(w.fifths), x);
  return fma(f32(whole), scales.x, fma(f32(x.sums.x + x.sums.y), -scales.y, sum));
}
