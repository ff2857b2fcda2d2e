/** Numbers that stand for weight dtypes in WGSL and in the WASM kernels. AssemblyScript compiles this file too. */
export const F32 = 0;
export const F16 = 1;
export const BF16 = 2;
