// sum + a piece of q4_k · x. With: quants, weights-q4_k.
fn dot_piece_STAGE(w: Piece_STAGE, p: u32, x: Digits, sum: f32) -> f32 {
  let scales = x.scale * scales_of_STAGE(w, p);
  let whole = piece_dot(low_nibbles(w.quants), high_nibbles(w.quants), x);
  return fma(f32(whole), scales.x, fma(f32(x.sums.x + x.sums.y), -scales.y, sum));
}
