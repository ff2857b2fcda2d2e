// sum + a piece of weights · x: codes times x, then what all elements of a half share. With: operand, a format as STAGE.
fn dot_piece_STAGE(w: Piece_STAGE, p: u32, x: Operand, sum: f32) -> f32 {
  var low = 0f;
  var high = 0f;
  /* unroll */ for (var i = 0u; i < 4u; i++) {
    low = dot4(codes_STAGE(w, i), x.fours[i], low);
    high = dot4(codes_STAGE(w, 4u + i), x.fours[4u + i], high);
  }
  let terms = terms_STAGE(w, p);
  if (HAS_HALVES_STAGE) {
    return fma(low, terms.x, fma(high, terms.z, fma(x.sums.x, terms.y, fma(x.sums.y, terms.w, sum))));
  }
  return fma(low + high, terms.x, fma(x.sums.x + x.sums.y, terms.y, sum));
}
