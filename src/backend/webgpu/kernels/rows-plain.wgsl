// Prelude of prepare-halves.wgsl: rows of x as they are.
var<storage, read> x: array<vec4f>;

// Four elements of a row; zero past the end.
fn load_x(origin: u32, c: u32) -> vec4f {
  if (WIDE) {
    return select(0f, 1f, c < COLS) * x[(origin + min(c, COLS - 4u)) / 4u];
  }
  var four = vec4f();
  /* unroll */ for (var k = 0u; k < 4u; k++) {
    let at = origin + min(c + k, COLS - 1u);
    four[k] = select(0f, x[at / 4u][at % 4u], c + k < COLS);
  }
  return four;
}
