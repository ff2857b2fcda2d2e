/**
 * Words in linear memory that JS writes and kernels read. The order of `Word` is that of WORDS in ../memory-map.ts.
 * Memory below memoryBase: control block at 1024, job parameters at 2048, words at 4096, thread scratch pointers none
 * (scratch of thread i is scratchBase + i * scratchBytes).
 */
const WORDS: usize = 4096;
/** Parameters of the running job: 32-bit words. */
export const PARAMS: usize = 2048;

// @ts-ignore: decorator
@inline function word(i: usize): u32 { return load<u32>(WORDS + (i << 2)); }

export namespace shape {
  // @ts-ignore: decorator
  @inline export function hidden(): u32 { return word(0); }
  // @ts-ignore: decorator
  @inline export function intermediate(): u32 { return word(1); }
  // @ts-ignore: decorator
  @inline export function queryHeads(): u32 { return word(2); }
  // @ts-ignore: decorator
  @inline export function kvHeads(): u32 { return word(3); }
  // @ts-ignore: decorator
  @inline export function headDim(): u32 { return word(4); }
  /** headDim rounded up to 4: floats of a cached row. */
  // @ts-ignore: decorator
  @inline export function rowFloats(): u32 { return word(5); }
  // @ts-ignore: decorator
  @inline export function eps(): f32 { return load<f32>(WORDS + (7 << 2)); }
  // @ts-ignore: decorator
  @inline export function pageSize(): u32 { return word(8); }
  // @ts-ignore: decorator
  @inline export function pageShift(): u32 { return word(9); }
  // @ts-ignore: decorator
  @inline export function maxLength(): u32 { return word(10); }
  // @ts-ignore: decorator
  @inline export function maxRows(): u32 { return word(11); }
  /** First byte of K of a layer: [page][kvHead][pageSize][K or V][rowFloats] f32. */
  // @ts-ignore: decorator
  @inline export function keys(layer: u32): usize { return <usize>(word(13) + layer * word(15)); }
  // @ts-ignore: decorator
  @inline export function values(layer: u32): usize { return keys(layer) + <usize>(rowFloats() * 4); }
  /** Bytes from a cached key to the key after it. */
  // @ts-ignore: decorator
  @inline export function slotBytes(): u32 { return rowFloats() * 8; }
  /** Rows of x, four side by side: see `begin` in linear.ts. */
  // @ts-ignore: decorator
  @inline export function packed(): usize { return <usize>word(14); }
  /** First byte of the page bounds of a layer: [page][kvHead][2][rowFloats] f32. */
  // @ts-ignore: decorator
  @inline export function bounds(layer: u32): usize { return <usize>(word(16) + layer * word(27)); }
  // @ts-ignore: decorator
  @inline export function normed(): usize { return <usize>word(17); }
  // @ts-ignore: decorator
  @inline export function gate(): usize { return <usize>word(18); }
  // @ts-ignore: decorator
  @inline export function newKeys(): usize { return <usize>word(19); }
  // @ts-ignore: decorator
  @inline export function newValues(): usize { return <usize>word(20); }
  // @ts-ignore: decorator
  @inline export function partials(): usize { return <usize>word(21); }
  // @ts-ignore: decorator
  @inline export function ranks(): usize { return <usize>word(22); }
  // @ts-ignore: decorator
  @inline export function scratch(thread: u32): usize { return <usize>(word(23) + thread * word(24)); }
  // @ts-ignore: decorator
  @inline export function workers(): u32 { return word(25); }
}

export namespace batch {
  // @ts-ignore: decorator
  @inline export function rows(): u32 { return word(32); }
  // @ts-ignore: decorator
  @inline export function tokenId(row: u32): u32 { return load<u32>(<usize>(word(34) + (row << 2))); }
  // @ts-ignore: decorator
  @inline export function slot(row: u32): u32 { return load<u32>(<usize>(word(35) + (row << 2))); }
  // @ts-ignore: decorator
  @inline export function rope(row: u32): usize { return <usize>(word(36) + row * shape.headDim() * 4); }
  // @ts-ignore: decorator
  @inline export function firstRow(s: u32): u32 { return load<u32>(<usize>(word(37) + (s << 2))); }
  // @ts-ignore: decorator
  @inline export function rowCount(s: u32): u32 { return load<u32>(<usize>(word(38) + (s << 2))); }
  // @ts-ignore: decorator
  @inline export function length(s: u32): u32 { return load<u32>(<usize>(word(39) + (s << 2))); }
  /** First position of a sequence that the bounds of its page do not cover. */
  // @ts-ignore: decorator
  @inline export function boundsFrom(s: u32): u32 { return load<u32>(<usize>(word(43) + (s << 2))); }
  // @ts-ignore: decorator
  @inline export function pageTable(s: u32): usize { return <usize>(word(40) + s * word(41) * 4); }
  /** Rows of x that `logits` reads: u32 [maxRows]. */
  // @ts-ignore: decorator
  @inline export function logitsRow(i: u32): u32 { return load<u32>(<usize>(word(42) + (i << 2))); }
}

/** What suits the processor: see ../tuning.ts. No value changes a result. */
export namespace tuning {
  /** How far ahead of their use weights of a dtype are touched, in bytes; 0: not at all. */
  // @ts-ignore: decorator
  @inline export function ahead(dtype: u32): usize { return <usize>word(64 + 2 * dtype); }
  /** Most weight bytes of an item for one row of x. */
  // @ts-ignore: decorator
  @inline export function itemBytes(dtype: u32): u32 { return word(65 + 2 * dtype); }
  /** Whether decode attention touches lines ahead: 0 or 1. */
  // @ts-ignore: decorator
  @inline export function attendTouch(): u32 { return word(80); }
  /** Bytes of K that all heads of a list pass over before the next. */
  // @ts-ignore: decorator
  @inline export function attendBlock(): u32 { return word(81); }
  /** Whether an item takes a chunk of positions for all kv heads, where they share a list: 0 or 1. */
  // @ts-ignore: decorator
  @inline export function attendSpan(): u32 { return word(82); }
  /** Threads for jobs that read memory once. */
  // @ts-ignore: decorator
  @inline export function streamThreads(): u32 { return word(83); }
  /** Jobs that read fewer bytes run on the caller's thread. */
  // @ts-ignore: decorator
  @inline export function soloBytes(): u32 { return word(84); }
  /** How long a worker spins before it sleeps. */
  // @ts-ignore: decorator
  @inline export function spinMicroseconds(): u32 { return word(85); }
}

// @ts-ignore: decorator
@inline export function param(i: usize): u32 { return load<u32>(PARAMS + (i << 2)); }
// @ts-ignore: decorator
@inline export function setParam(i: usize, value: u32): void { store<u32>(PARAMS + (i << 2), value); }

export namespace Dtype {
  export const F32: u32 = 0;
  export const BF16: u32 = 1;
  export const F16: u32 = 2;
  /** With Inf or NaN among them. */
  export const F16_SPECIAL: u32 = 3;
}

/** Weight descriptor, 16 bytes: address, rows, cols, dtype. */
export namespace weight {
  // @ts-ignore: decorator
  @inline export function data(w: usize): usize { return <usize>load<u32>(w); }
  // @ts-ignore: decorator
  @inline export function rows(w: usize): u32 { return load<u32>(w, 4); }
  // @ts-ignore: decorator
  @inline export function cols(w: usize): u32 { return load<u32>(w, 8); }
  // @ts-ignore: decorator
  @inline export function dtype(w: usize): u32 { return load<u32>(w, 12); }
}

/** Scratch of this instance's thread. */
export let scratch: usize = 0;
export function setThread(index: u32): void { scratch = shape.scratch(index); }

// @ts-ignore: decorator
@inline export function roundUp(n: u32, to: u32): u32 { return (n + to - 1) & ~(to - 1); }
