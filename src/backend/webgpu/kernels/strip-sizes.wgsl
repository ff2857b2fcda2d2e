// Prelude: sizes of gemm-subgroup-matrix.wgsl. With: subgroup-matrix.
override TILE_X: u32; // rows of x
override TILE_W: u32; // rows of the weight; if PAIR, half of them of each matrix
override STRIP: u32;
override SPLIT_X: u32;
override SPLIT_W: u32;
override STRIDE: u32; // vectors of a weight row
override VECTORS: u32; // of eight columns
override X_STRIDE: u32; // vectors of a row of x, zero past its columns; whole strips
override SPLIT_K: u32;
override DEPTH: u32;
override BUFFERS: u32; // 1 or 2
override SLICES: u32; // workgroups that share the columns; a divisor of their strips
override PAIR: bool; // out = act(first matrix) * second matrix
override GATED: bool; // out = act(out) * this matrix
override ADD: bool;
const BLOCKS: u32 = SPLIT_X * SPLIT_W;
const THREADS: u32 = SUBGROUP * BLOCKS * SPLIT_K;
const STRIP_VECTORS: u32 = STRIP / 8u; // vectors of a row in a strip
const TILE_STRIDE: u32 = STRIP_VECTORS + 1u; // padded against bank conflicts
const BLOCKS_X: u32 = TILE_X / SPLIT_X / MATRIX_M; // of a subgroup
const BLOCKS_W: u32 = TILE_W / SPLIT_W / MATRIX_N;
const HALF_W: u32 = TILE_W / 2u;
const STRIPS: u32 = (VECTORS + STRIP_VECTORS - 1u) / STRIP_VECTORS;
const SLICE_STRIPS: u32 = STRIPS / SLICES;
const X_LOADS: u32 = (TILE_X * STRIP_VECTORS + THREADS - 1u) / THREADS;
const OUT_BLOCKS: u32 = select(BLOCKS_W, BLOCKS_W / 2u, PAIR);
const BUFFER: u32 = (TILE_X + TILE_W) * TILE_STRIDE; // rows of x, then of the weight
// Outputs go through memory a row of blocks at a time: a subgroup matrix can only be stored.
const BLOCK_FOURS: u32 = MATRIX_N / 4u; // vectors of four outputs, of a row of a block
const SUM_STRIDE: u32 = BLOCKS_W * BLOCK_FOURS + 1u;
const SUM_SPACE: u32 = MATRIX_M * SUM_STRIDE; // of a subgroup
const SPACE: u32 = max(BUFFERS * BUFFER, BLOCKS * SPLIT_K * SUM_SPACE);
const OUT_COLS: u32 = OUT_BLOCKS * MATRIX_N; // of a subgroup
const OUT_TURNS: u32 = MATRIX_M * OUT_COLS / SUBGROUP / SPLIT_K;
