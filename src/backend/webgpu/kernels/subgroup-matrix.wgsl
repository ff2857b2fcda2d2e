// Prelude of kernels with subgroup matrices. Offsets and strides of matrices count elements of the array they lie in: vectors
// of eight f16, or single f32.
enable f16;
enable subgroups;
enable chromium_experimental_subgroup_matrix;
// The matrix that a subgroup takes depends on its number, which the uniformity analysis cannot tell from divergence.
diagnostic(off, chromium.subgroup_matrix_uniformity);
const SUBGROUP: u32 = 32u; // invocations of a subgroup, all of them
