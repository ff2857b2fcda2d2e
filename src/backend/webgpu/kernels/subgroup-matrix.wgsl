// Prelude of kernels with subgroup matrices. Offsets and strides of matrices count elements of the array they lie in: vectors
// of eight f16, or single f32.
enable f16;
enable subgroups;
enable chromium_experimental_subgroup_matrix;
// The matrix that a subgroup takes depends on its number, which the uniformity analysis cannot tell from divergence.
diagnostic(off, chromium.subgroup_matrix_uniformity);
override SUBGROUP: u32; // invocations of a subgroup, all of them
// The device's matrices: left ones of MATRIX_M rows and MATRIX_K columns, right ones of MATRIX_N columns; multiples of 8.
override MATRIX_M: u32;
override MATRIX_N: u32;
override MATRIX_K: u32;
const K_VECTORS: u32 = MATRIX_K / 8u; // of a row of a left matrix
const N_VECTORS: u32 = MATRIX_N / 8u; // of a row of a right one
alias LeftMatrix = subgroup_matrix_left<f16, MATRIX_K, MATRIX_M>;
alias RightMatrix = subgroup_matrix_right<f16, MATRIX_N, MATRIX_K>;
alias ResultMatrix = subgroup_matrix_result<f32, MATRIX_N, MATRIX_M>;
