// Prelude of kernels that multiply quantised weights: the vector x in workgroup memory, in pieces of 32 elements. x stays f32.
override SPAN: u32; // pieces in workgroup memory

// sums: of elements 0 to 15, and of 16 to 31
struct Operand {
  fours: array<vec4f, 8>,
  sums: vec2f,
}

var<workgroup> operand_space: array<vec4f, 8u * SPAN>;
var<workgroup> operand_sums: array<f32, 2u * SPAN>;

fn operand_of(piece: u32) -> Operand {
  var x = Operand();
  /* unroll */ for (var i = 0u; i < 8u; i++) {
    x.fours[i] = operand_space[i * SPAN + piece];
  }
  x.sums = vec2f(operand_sums[piece], operand_sums[SPAN + piece]);
  return x;
}

// Stores half of a piece. half: among the halves in workgroup memory; those past its end are not stored.
fn store_operand(x: array<vec4f, 4>, half: u32) {
  if (half >= 2u * SPAN) {
    return;
  }
  let piece = half / 2u;
  let side = half % 2u;
  /* unroll */ for (var i = 0u; i < 4u; i++) {
    operand_space[(side * 4u + i) * SPAN + piece] = x[i];
  }
  let fours = (x[0] + x[1]) + (x[2] + x[3]);
  operand_sums[side * SPAN + piece] = (fours.x + fours.y) + (fours.z + fours.w);
}

fn dot4(a: vec4f, b: vec4f, sum: f32) -> f32 {
  return fma(a.w, b.w, fma(a.z, b.z, fma(a.y, b.y, fma(a.x, b.x, sum))));
}
