/** Accessors of the words that JavaScript writes into linear memory and kernels read: sizes, regions, the KV cache, the batch, tuning. */
import { BF16 as BF16_CODE, F16 as F16_CODE, F32 as F32_CODE } from "../../../base/format-codes";
import { F16_SPECIAL as F16_SPECIAL_CODE, PARAMS_ADDRESS, WORDS_ADDRESS } from "./layout";
import * as words from "./words";

// @ts-ignore: decorator
@inline function word(i: u32): u32 { return load<u32>(<usize>WORDS_ADDRESS + (<usize>i << 2)); }

export namespace model {
  // @ts-ignore: decorator
  @inline export function hidden(): u32 { return word(words.hiddenSize); }
  // @ts-ignore: decorator
  @inline export function intermediate(): u32 { return word(words.intermediateSize); }
  // @ts-ignore: decorator
  @inline export function queryHeads(): u32 { return word(words.numQueryHeads); }
  // @ts-ignore: decorator
  @inline export function kvHeads(): u32 { return word(words.numKvHeads); }
  // @ts-ignore: decorator
  @inline export function headDim(): u32 { return word(words.headDim); }
  // @ts-ignore: decorator
  @inline export function eps(): f32 { return reinterpret<f32>(word(words.rmsNormEps)); }
  // @ts-ignore: decorator
  @inline export function isGelu(): bool { return word(words.isGelu) != 0; }
  /** True if products of its weights round activations to 16 bits. */
  // @ts-ignore: decorator
  @inline export function isRounded(): bool { return word(words.isRounded) != 0; }
  // @ts-ignore: decorator
  @inline export function embeddingScale(): f32 { return reinterpret<f32>(word(words.embeddingScale)); }
  /** Factor of attention's logits. */
  // @ts-ignore: decorator
  @inline export function attentionScale(): f32 { return reinterpret<f32>(word(words.attentionScale)); }
}

export namespace limits {
  // @ts-ignore: decorator
  @inline export function length(): u32 { return word(words.maxSequenceLength); }
  // @ts-ignore: decorator
  @inline export function rows(): u32 { return word(words.maxBatchRows); }
}

/**
 * The KV cache: extents of 2^extentShift pages, each [layer][page][kvHead][pageSize] slots. A slot is the key and the value of a
 * token, rowFloats elements each: f32, or int8 and after both the f32 scales of the key and of the value. A row of a
 * layer stands at its address in layer 0, plus `keys(layer)` or `values(layer)`. Page bounds have extents of their own,
 * f32 [layer][page][kvHead][minimum or maximum][rowFloats].
 */
export namespace cache {
  /** headDim rounded up to 4, of int8 rows to 8; the rest is zeros. */
  // @ts-ignore: decorator
  @inline export function rowFloats(): u32 { return word(words.rowFloats); }
  // @ts-ignore: decorator
  @inline export function isInt8(): bool { return word(words.cacheInt8) != 0; }
  /** Bytes from a key to the value of the same token. */
  // @ts-ignore: decorator
  @inline export function rowBytes(): u32 { return rowFloats() << (isInt8() ? 0 : 2); }
  /** Bytes from an int8 key to its scale, which the value's follows. */
  // @ts-ignore: decorator
  @inline export function scalesAt(): u32 { return rowFloats() * 2; }
  // @ts-ignore: decorator
  @inline export function pageSize(): u32 { return word(words.pageSize); }
  // @ts-ignore: decorator
  @inline export function pageShift(): u32 { return word(words.pageShift); }
  /** Bytes from a key to the next position's key. */
  // @ts-ignore: decorator
  @inline export function slotBytes(): u32 { return isInt8() ? rowFloats() * 2 + 8 : rowFloats() * 8; }
  /** Bytes from the rows of a kv head to those of the next in the same page. */
  // @ts-ignore: decorator
  @inline export function headBytes(): u32 { return slotBytes() << pageShift(); }
  // @ts-ignore: decorator
  @inline export function keys(layer: u32): usize { return <usize>(layer * word(words.extentLayerBytes)); }
  // @ts-ignore: decorator
  @inline export function values(layer: u32): usize { return keys(layer) + <usize>rowBytes(); }
  /** Address of a page in layer 0. */
  // @ts-ignore: decorator
  @inline export function page(id: u32): usize {
    return pageAt(id, <usize>word(words.extents), word(words.extentShift), word(words.pageBytes));
  }
  /** `page` for loops, whose caller loads the words once. */
  // @ts-ignore: decorator
  @inline export function pageAt(id: u32, extents: usize, shift: u32, pageBytes: u32): usize {
    return <usize>(load<u32>(extents + <usize>((id >> shift) << 2)) + (id & ((1 << shift) - 1)) * pageBytes);
  }
  // @ts-ignore: decorator
  @inline export function extents(): usize { return <usize>word(words.extents); }
  // @ts-ignore: decorator
  @inline export function extentShift(): u32 { return word(words.extentShift); }
  // @ts-ignore: decorator
  @inline export function pageBytes(): u32 { return word(words.pageBytes); }
  /** Address of a page's bounds in a layer. */
  // @ts-ignore: decorator
  @inline export function bounds(layer: u32, id: u32): usize {
    const inLayer0 = pageAt(id, <usize>word(words.boundsExtents), word(words.extentShift), word(words.boundsPageBytes));
    return inLayer0 + <usize>(layer * word(words.boundsLayerBytes));
  }
}

/** Regions of fixed size. */
export namespace region {
  /** Rows of x, four side by side: see `begin` in linear.ts. */
  // @ts-ignore: decorator
  @inline export function packed(): usize { return <usize>word(words.packed); }
  /** Rows of x for quantised weights: see activations.ts. */
  // @ts-ignore: decorator
  @inline export function quantised(): usize { return <usize>word(words.quantised); }
  // @ts-ignore: decorator
  @inline export function normed(): usize { return <usize>word(words.normed); }
  // @ts-ignore: decorator
  @inline export function gate(): usize { return <usize>word(words.gate); }
  // @ts-ignore: decorator
  @inline export function newKeys(): usize { return <usize>word(words.newKeys); }
  // @ts-ignore: decorator
  @inline export function newValues(): usize { return <usize>word(words.newValues); }
  // @ts-ignore: decorator
  @inline export function partials(): usize { return <usize>word(words.partials); }
  // @ts-ignore: decorator
  @inline export function ranks(): usize { return <usize>word(words.ranks); }
  /** Logits of the router: f32 [rows, experts]. */
  // @ts-ignore: decorator
  @inline export function routed(): usize { return <usize>word(words.routed); }
  /** Expert and weight of each choice: u32 and f32 [rows, topExperts, 2]. */
  // @ts-ignore: decorator
  @inline export function chosen(): usize { return <usize>word(words.chosen); }
  /** Rows of one expert and their weights: u32 and f32 [rows, 2]. */
  // @ts-ignore: decorator
  @inline export function expertRows(): usize { return <usize>word(words.expertRows); }
  /** f32 [rows, hidden] */
  // @ts-ignore: decorator
  @inline export function expertInput(): usize { return <usize>word(words.expertInput); }
  // @ts-ignore: decorator
  @inline export function expertOutput(): usize { return <usize>word(words.expertOutput); }
}

export namespace experts {
  // @ts-ignore: decorator
  @inline export function count(): u32 { return word(words.numExperts); }
  // @ts-ignore: decorator
  @inline export function top(): u32 { return word(words.topExperts); }
  // @ts-ignore: decorator
  @inline export function isNormalised(): bool { return word(words.isNormalised) != 0; }
}

export namespace batch {
  // @ts-ignore: decorator
  @inline export function rows(): u32 { return word(words.numRows); }
  // @ts-ignore: decorator
  @inline export function tokenId(row: u32): u32 { return element(words.tokenIds, row); }
  // @ts-ignore: decorator
  @inline export function slot(row: u32): u32 { return element(words.slots, row); }
  /** cos of the angles, then sin: f32 [headDim] of a row of one of the step's tables. */
  // @ts-ignore: decorator
  @inline export function rope(table: u32, row: u32): usize {
    return <usize>(word(words.rope) + table * word(words.ropeTableBytes) + row * model.headDim() * 4);
  }
  // @ts-ignore: decorator
  @inline export function firstRow(s: u32): u32 { return element(words.firstRows, s); }
  // @ts-ignore: decorator
  @inline export function rowCount(s: u32): u32 { return element(words.rowCounts, s); }
  // @ts-ignore: decorator
  @inline export function length(s: u32): u32 { return element(words.lengths, s); }
  /** First position of a sequence without valid key bounds. */
  // @ts-ignore: decorator
  @inline export function validBounds(s: u32): u32 { return element(words.validBounds, s); }
  /** Page ids of a sequence: u32. */
  // @ts-ignore: decorator
  @inline export function pageTable(s: u32): usize {
    return <usize>(word(words.pageTables) + s * word(words.maxPagesPerSequence) * 4);
  }
  /** The row of x behind row i of the logits. */
  // @ts-ignore: decorator
  @inline export function logitsRow(i: u32): u32 { return element(words.logitsRows, i); }
}

// @ts-ignore: decorator
@inline function element(array: u32, i: u32): u32 { return load<u32>(<usize>(word(array) + (i << 2))); }

/** Choices for the processor: see ../tuning.ts. No value changes a result. */
export namespace tuning {
  /** Distance in bytes at which weights of a dtype are touched ahead of their use; 0: not at all. */
  // @ts-ignore: decorator
  @inline export function ahead(dtype: u32): usize { return <usize>word(words.aheadF32 + 2 * dtype); }
  /** Maximum weight bytes of an item for one row of x. */
  // @ts-ignore: decorator
  @inline export function itemBytes(dtype: u32): u32 {
    return word(dtype > <u32>F16_SPECIAL_CODE ? words.itemQuantised : words.itemF32 + 2 * dtype);
  }
  /** 1 if decode attention touches cache lines ahead, else 0. */
  // @ts-ignore: decorator
  @inline export function attendTouch(): u32 { return word(words.attendTouch); }
  /** Bytes of K that all heads of a list pass over before the next. */
  // @ts-ignore: decorator
  @inline export function attendBlock(): u32 { return word(words.attendBlock); }
  /** 1 if an item takes a split for all kv heads that share a list, else 0. */
  // @ts-ignore: decorator
  @inline export function attendSpan(): u32 { return word(words.attendSpan); }
  /** Threads for jobs that read memory once. */
  // @ts-ignore: decorator
  @inline export function streamThreads(): u32 { return word(words.streamThreads); }
  /** Jobs that read fewer bytes run on the caller's thread. */
  // @ts-ignore: decorator
  @inline export function soloBytes(): u32 { return word(words.soloBytes); }
  /** Time that a worker spins before it sleeps. */
  // @ts-ignore: decorator
  @inline export function spinMicroseconds(): u32 { return word(words.spinMicroseconds); }
}

/** Workers that take part in jobs. */
// @ts-ignore: decorator
@inline export function workers(): u32 { return word(words.workers); }

// @ts-ignore: decorator
@inline export function param(i: usize): u32 { return load<u32>(<usize>PARAMS_ADDRESS + (i << 2)); }
// @ts-ignore: decorator
@inline export function setParam(i: usize, value: u32): void { store<u32>(<usize>PARAMS_ADDRESS + (i << 2), value); }

export namespace Dtype {
  export const F32: u32 = F32_CODE;
  export const F16: u32 = F16_CODE;
  export const BF16: u32 = BF16_CODE;
  export const F16_SPECIAL: u32 = F16_SPECIAL_CODE;
}

/** A weight descriptor: DESCRIPTOR_WORDS 32-bit words. */
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
export function setThread(index: u32): void {
  scratch = <usize>(word(words.scratch) + index * word(words.scratchBytes));
}

// @ts-ignore: decorator
@inline export function roundUp(n: u32, to: u32): u32 { return (n + to - 1) & ~(to - 1); }
