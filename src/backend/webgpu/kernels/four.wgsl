// Values of weights. With: a format as STAGE.

// Elements 4i to 4i + 3.
fn four_STAGE(w: Piece_STAGE, p: u32, i: u32) -> vec4f {
  let terms = terms_STAGE(w, p);
  if (HAS_HALVES_STAGE && i >= 4u) {
    return fma(vec4f(terms.z), codes_STAGE(w, i), vec4f(terms.w));
  }
  return fma(vec4f(terms.x), codes_STAGE(w, i), vec4f(terms.y));
}
