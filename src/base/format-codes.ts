/** Numbers that stand for weight formats in WGSL and in the WASM kernels. AssemblyScript compiles this file too. */
export const F32 = 0;
export const F16 = 1;
export const BF16 = 2;
/** 3 is `F16_SPECIAL` of the WASM kernels. */
export const Q8_0 = 4;
export const Q4_0 = 5;
export const Q4_1 = 6;
export const Q5_0 = 7;
export const Q5_1 = 8;
export const Q3_K = 9;
export const Q4_K = 10;
export const Q5_K = 11;
export const Q6_K = 12;
export const IQ4_NL = 13;
