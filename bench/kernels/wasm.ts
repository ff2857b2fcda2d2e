/**
 * Times the WASM kernels beside a plain read of as many bytes, beside each other, and on one thread beside all. Ratios come from
 * medians of alternated samples of one run, because the memory speed of a shared machine changes by the second.
 */
import {
  createWasmHost,
  plainShape,
  WasmBackend,
  wasmFactory,
  withAllPages,
} from "../../src/node/internal.ts";
import type { KernelFigure } from "./figure.ts";
import { HEAD_DIM, HEADS, KernelBench, KV_HEADS, LENGTH, MAX_ROWS, PAGE_SIZE } from "./kernel-bench.ts";
import { benchAttention } from "./wasm-attention.ts";
import { benchCached, benchGemm, benchMatvec, benchRealShapes, SIZE } from "./wasm-linear.ts";
import { benchSelection } from "./wasm-selection.ts";

/** Measures all kernels on one thread and on all of them. */
export async function benchWasmKernels(threads?: number): Promise<readonly KernelFigure[]> {
  const model = plainShape({
    numLayers: 1,
    hiddenSize: SIZE,
    intermediateSize: 1024,
    numQueryHeads: HEADS,
    numKvHeads: KV_HEADS,
    headDim: HEAD_DIM,
    vocabSize: 1024,
    rmsNormEps: 1e-6,
  });
  const capacity = {
    pageSize: PAGE_SIZE,
    maxPages: LENGTH / PAGE_SIZE,
    maxSequenceLength: LENGTH,
    maxBatchRows: MAX_ROWS,
    maxBatchSequences: 1,
  };
  const open = withAllPages(wasmFactory(createWasmHost(), threads === undefined ? {} : { threads }));
  const backend = await open(model, capacity);
  if (!(backend instanceof WasmBackend)) throw new TypeError("the wasm backend is of another class");
  const bench = new KernelBench(backend);
  try {
    benchCached(bench);
    benchGemm(bench);
    benchAttention(bench);
    benchSelection(bench);
    benchRealShapes(bench);
    benchMatvec(bench); // last: its matrices take the most memory
  } finally {
    await backend.close();
  }
  return bench.figures;
}
