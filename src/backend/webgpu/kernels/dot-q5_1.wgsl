// sum + a piece of q5_1 · x. With: quants, weights-q5_1.
fn dot_piece_STAGE(w: Piece_STAGE, p: u32, x: Digits, sum: f32) -> f32 {
  let scales = x.scale * unpack2x16float(w.scales);
  let whole = piece_dot(
    low_nibbles(w.quants) | low_fifths(w.fifths), high_nibbles(w.quants) | high_fifths(w.fifths), x);
  return fma(f32(whole), scales.x, fma(f32(x.sums.x + x.sums.y), scales.y, sum));
}
