enable f16;
enable subgroups;
enable chromium_experimental_subgroup_matrix;
// Which matrix a subgroup takes depends on its number, which the uniformity analysis cannot tell from divergence.
diagnostic(off, chromium.subgroup_matrix_uniformity);
// Prelude of kernels on the matrix units. Offsets and strides of matrices count elements of the array they lie in: pieces
// of eight f16, or single f32.
const SUBGROUP: u32 = 32u; // invocations of a subgroup, all of them
