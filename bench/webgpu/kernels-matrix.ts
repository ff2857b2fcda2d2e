/** Matrix-vector products by kind and of a whole step, beside sequences of plain reads of the same sizes. */
import { judge, TARGETS } from "../targets.ts";
import { type CallSequence, timeSequences } from "./call-timer.ts";
import { byteFigure, type GpuFigure } from "./figure.ts";
import type { KernelBench } from "./kernel-bench.ts";
import { timeReads } from "./plain-read.ts";
import { headBytes, layerBytes } from "./weight-mix.ts";

export const ALL_PRODUCTS = "all matrix-vector products of a step";

/** A sequence of products and the sizes of the matrices that one call reads. */
interface ProductCallSequence extends CallSequence {
  readonly sizes: readonly number[];
}

export async function benchMatrixKernels(bench: KernelBench): Promise<readonly GpuFigure[]> {
  const { model, plan, readBandwidth } = bench;
  const sequences = productSequences(bench);
  const times = await timeSequences(model.backend, sequences);
  const figures: GpuFigure[] = [];
  for (const { name, sizes } of sequences) {
    const bytes = sum(sizes);
    const figure = byteFigure(name, times.get(name) ?? Number.NaN, bytes, readBandwidth);
    const plainReadsMicroseconds = await timeReads(model.backend, sizes);
    figures.push({ ...figure, plainReadsMicroseconds, ...judge(TARGETS.matrixVector, figure.shareOfRead) });
  }
  const feedForwardBytes = sum(sizesOf(bench).feedForward);
  const batches = plan.batches.map((rows) => batchCallSequence(bench, rows));
  const batchTimes = await timeSequences(model.backend, batches);
  for (const { name } of batches)
    figures.push(byteFigure(name, batchTimes.get(name) ?? Number.NaN, feedForwardBytes, readBandwidth));
  return figures;
}

/** Of the first layer; in a mix of formats not all are alike. */
function sizesOf({ plan: { config, dtype } }: KernelBench) {
  const { qkv, o, gateUp, down } = layerBytes(config, dtype, 0);
  return { qkv: [qkv], o: [o], feedForward: [gateUp, down], head: [headBytes(config, dtype)] };
}

function productSequences(bench: KernelBench): readonly ProductCallSequence[] {
  const { model, plan, x, query, output } = bench;
  const { backend, weights } = model;
  const { numLayers, vocabSize } = plan.config;
  const logits = backend.createTensor("f32", [1, vocabSize]);
  const firstRow = Uint32Array.of(0);
  const layer = (call: number) => weights.layers[bench.layer(call)] as (typeof weights.layers)[number];
  const qkv = (call: number) =>
    backend.attentionInput(bench.layer(call), layer(call).attentionInput, x, query);
  const o = (call: number) => backend.attentionOutput(layer(call).attentionOutput, output, x);
  const feedForward = (call: number) => backend.feedForward(layer(call).feedForward, x);
  const head = () => backend.logits(weights.norm, weights.output, x, firstRow, 1, logits);
  const prepare = () => bench.begin(plan.selectionContext, 1);
  const sizes = sizesOf(bench);
  // a step has more layers than the model here: they take turns
  const advances = Array.from({ length: numLayers }, (_, i) => ({
    from: { output: layer(i).attentionOutput, feedForward: layer(i).feedForward },
    next: i + 1 < numLayers ? { layer: bench.layer(i + 1), weights: layer(i + 1).attentionInput } : undefined,
  }));
  return [
    { name: "qkv", sizes: sizes.qkv, prepare, run: qkv },
    { name: "o", sizes: sizes.o, prepare, run: o },
    { name: "feed-forward", sizes: sizes.feedForward, prepare, run: feedForward },
    { name: "output head", sizes: sizes.head, prepare, run: head },
    {
      name: ALL_PRODUCTS,
      sizes: [
        ...Array.from({ length: numLayers }, () => [...sizes.qkv, ...sizes.o, ...sizes.feedForward]).flat(),
        ...sizes.head,
      ],
      prepare,
      run: () => {
        qkv(0);
        for (const { from, next } of advances) backend.advance(from, next, { attended: output, x, query });
        head();
      },
    },
  ];
}

function batchCallSequence(bench: KernelBench, rows: number): CallSequence {
  const { backend, weights } = bench.model;
  return {
    name: `feed-forward, ${rows} rows`,
    prepare: () => bench.begin(bench.plan.selectionContext, rows),
    run: (call) => {
      const weight = weights.layers[bench.layer(call)];
      if (weight) backend.feedForward(weight.feedForward, bench.x);
    },
  };
}

function sum(values: readonly number[]): number {
  return values.reduce((a, b) => a + b, 0);
}
