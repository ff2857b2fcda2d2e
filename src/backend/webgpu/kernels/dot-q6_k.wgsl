// sum + a piece of q6_k · x. With: quants, weights-q6_k.
fn dot_piece_STAGE(w: Piece_STAGE, p: u32, x: Digits, sum: f32) -> f32 {
  let low = half_dot(low_nibbles(w.quants) | sixths(w.tops.x), x, 0u) - 32i * x.sums.x;
  let high = half_dot(high_nibbles(w.quants) | sixths(w.tops.y), x, 1u) - 32i * x.sums.y;
  let small = small_of_STAGE(w, p);
  return fma(fma(f32(low), small.x, f32(high) * small.y), half_of(w.scales, p / 8u) * x.scale, sum);
}
