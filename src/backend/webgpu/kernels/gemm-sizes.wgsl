// Prelude: sizes of gemm.wgsl.
override SIDE_X: u32; // 1 or 2: vec4s of rows of x of an invocation
override SIDE_W: u32; // 1 or 2
override STRIDE: u32; // vectors of a weight row
override COLS: u32; // of the weight, padding included
override X_STRIDE: u32; // vec4s of a row of x, zeros past its columns
override GATED: bool; // out = act(out) * this matrix
override ADD: bool;
const TILE_X: u32 = 64u * SIDE_X;
const TILE_W: u32 = 64u * SIDE_W;
const STRIP: u32 = 16u;
const STRIPS: u32 = (COLS + STRIP - 1u) / STRIP;
const X_LOADS: u32 = SIDE_X; // vec4s of x of an invocation a strip
