/**
 * Indices of the 32-bit words in linear memory that JavaScript writes and kernels read, from `WORDS_ADDRESS` on. Both
 * compilers read this file, AssemblyScript for the kernels (`state.ts`) and TypeScript for `../memory-map.ts`; opening the
 * backend compares it with the compiled module.
 */
export const hiddenSize = 0;
export const intermediateSize = 1;
export const numQueryHeads = 2;
export const numKvHeads = 3;
export const headDim = 4;
/** Elements of a cached row: headDim rounded up to a vector of what the kernels load. */
export const rowFloats = 5;
export const vocabSize = 6;
/** An f32. */
export const rmsNormEps = 7;
export const pageSize = 8;
/** log2 of the page size. */
export const pageShift = 9;
export const maxSequenceLength = 10;
export const maxBatchRows = 11;
export const maxBatchSequences = 12;

/** Addresses of the KV extents: u32 [number of extents]. */
export const extents = 13;
/** log2 of the pages of an extent. */
export const extentShift = 14;
/** Bytes of one layer of an extent. */
export const extentLayerBytes = 15;
/** Bytes of one layer of a page. */
export const pageBytes = 16;
/** Addresses of the key bounds of each extent: u32 [number of extents]. */
export const boundsExtents = 17;
export const boundsLayerBytes = 18;
export const boundsPageBytes = 19;

/** Regions of fixed size: their addresses. */
export const normed = 20;
export const gate = 21;
export const packed = 22;
export const newKeys = 23;
export const newValues = 24;
export const partials = 25;
export const ranks = 26;
/** Scratch of thread i begins at scratch + i * scratchBytes. */
export const scratch = 27;
export const scratchBytes = 28;
/** Started workers that take part. */
export const workers = 29;
/** 1 if cached rows are int8 with scales, 0 if they are f32. */
export const cacheInt8 = 30;
/** Factor of attention's logits, an f32. */
export const attentionScale = 31;

/** The batch: its sizes, and the addresses of its arrays. */
export const numRows = 32;
export const numSequences = 33;
export const tokenIds = 34;
export const slots = 35;
export const rope = 36;
export const firstRows = 37;
export const rowCounts = 38;
export const lengths = 39;
export const pageTables = 40;
export const maxPagesPerSequence = 41;
export const logitsRows = 42;
/** First position of each sequence without valid key bounds. */
export const validBounds = 43;

/** 0: SiLU, 1: GELU by its tanh formula. */
export const isGelu = 44;
/** An f32. */
export const embeddingScale = 45;
/** Bytes of one of the step's RoPE tables. */
export const ropeTableBytes = 46;
/** 1 if matrices are quantised, so that activations are rounded to 16 bits. */
export const isRounded = 47;

/** Experts: how many there are, how many compute a row, and 1 if their weights are scaled to a sum of 1. */
export const numExperts = 48;
export const topExperts = 49;
export const isNormalised = 50;
/** Regions of experts: see experts.ts. */
export const routed = 51;
export const chosen = 52;
export const expertRows = 53;
export const expertInput = 54;
export const expertOutput = 55;

/** Tuning of weight streams: two words a dtype, in the order of the dtype codes. */
export const aheadF32 = 64;
export const itemF32 = 65;
export const aheadF16 = 66;
export const itemF16 = 67;
export const aheadBf16 = 68;
export const itemBf16 = 69;
export const aheadF16Special = 70;
export const itemF16Special = 71;
/** One word for all quantised formats. */
export const itemQuantised = 72;
/** Region of quantised activations. */
export const quantised = 73;

export const attendTouch = 80;
export const attendBlock = 81;
export const attendSpan = 82;
export const streamThreads = 83;
export const soloBytes = 84;
export const spinMicroseconds = 85;
