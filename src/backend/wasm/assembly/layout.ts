/**
 * Addresses and sizes that the kernels and their TypeScript caller share. Both compilers read this file; opening the
 * backend compares it with the compiled module. Memory below `MEMORY_BASE` is the control block, the parameters of the
 * running job and the words of `words.ts`.
 */

/** Bytes per counter, each on a cache line of its own: see control.ts. */
export const CONTROL_ADDRESS = 1024;
/** Workers that have started. */
export const ARRIVED_ADDRESS = 1536;
/** What ended the threads, 0 while they live: see thread-failure.ts. */
export const FAILURE_ADDRESS = 1600;
/** Parameters of the running job: 32-bit words. */
export const PARAMS_ADDRESS = 2048;
export const WORDS_ADDRESS = 4096;
/** First byte of the kernels' own data; asc takes it as an option. */
export const MEMORY_BASE = 65536;

/** Positions of a split of decode attention. */
export const SPLIT = 256;

/** Cache slots whose sketches stand side by side: see key-sketch.ts. */
export const TILE_SLOTS = 4;

/** A weight descriptor: address, rows, cols, dtype code. */
export const DESCRIPTOR_WORDS = 4;

/** Code of f16 weights with Inf or NaN among them, which the fast f16 path would lose; the others are DTYPE_CODES. */
export const F16_SPECIAL = 3;

/** Bytes of 32 activations of quantised weights, of one row and of four: see activations.ts. */
export const RECORD_BYTES = 128;
export const RECORD_OF_FOUR_BYTES = 288;
/** With fewer rows of activations, each row meets quantised weights alone. */
export const TILED_ROWS_QUANTISED = 8;
