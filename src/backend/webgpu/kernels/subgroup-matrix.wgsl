// Prelude of kernels on the matrix units. Offsets and strides of matrices count elements of the array they lie in: pieces
// of eight f16, or single f32.
const SUBGROUP: u32 = 32u; // invocations of a subgroup, all of them
