// Prelude of prepare-halves.wgsl, WIDE and without GATHER: rows of x that lack what workgroups left that shared the columns of
// products. The kernel adds it to x as well, in the order of sum-slices.wgsl; it reads every element once.
override SLICES: u32;
var<storage, read> slices: array<vec4f>; // [SLICES][rows, X_STRIDE]
var<storage, read_write> x: array<vec4f>;

// Four elements of a row; zero past the end.
fn load_x(origin: u32, c: u32) -> vec4f {
  var four = vec4f();
  if (c < COLS) {
    let at = (origin + c) / 4u;
    four = x[at];
    /* unroll */ for (var slice = 0u; slice < SLICES; slice++) {
      four += slices[slice * params.slice_stride + at];
    }
    x[at] = four;
  }
  return four;
}
