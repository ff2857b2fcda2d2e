/**
 * Work of the host for a decode step on Dawn's null backend, which takes everything and runs nothing: how much it allocates, and
 * that it prepares nothing anew from step to step.
 */
import { getHeapStatistics } from "node:v8";
import { afterAll, describe, expect, it } from "vitest";
import { Attention } from "../../src/attention/attend.ts";
import { parseAttention } from "../../src/attention/spec.ts";
import type { InFlightSample, SamplingRow } from "../../src/backend/backend.ts";
import { contextOf, sampleOnDevice } from "../../src/backend/webgpu/bench-access.ts";
import { webGpuFactory } from "../../src/backend/webgpu/open-webgpu.ts";
import type { WebGpuBackend } from "../../src/backend/webgpu/webgpu-backend.ts";
import { StepBatchBuilder } from "../../src/engine/step-batch.ts";
import { Decoder } from "../../src/model/decoder.ts";
import { createRope } from "../../src/model/rope.ts";
import type { ModelWeights } from "../../src/model/weights.ts";
import { sizesOf } from "../sizes.ts";
import { matrixSpec, vectorSpec } from "../weight-specs.ts";
import { openNullGpu } from "./null-gpu.ts";

const { gpu } = await openNullGpu();

const LAYERS = 16;
const SIZES = {
  ...{
    numLayers: LAYERS,
    hiddenSize: 64,
    intermediateSize: 128,
    numQueryHeads: 4,
    numKvHeads: 2,
    headDim: 16,
  },
  ...{ maxPages: 64, maxSequenceLength: 1024, maxBatchRows: 4, maxBatchSequences: 2, vocabSize: 256 },
};
const GREEDY = { temperature: 0, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1, seed: 1 };
const GREEDY_ROW = { params: GREEDY, sampleIndex: 0, seenTokens: [] };

/** Subgroups of a real GPU, so that the kernels are those of one; nothing compares them with a driver's. */
const TRAITS = { minSubgroupSize: 32, maxSubgroupSize: 32, isSoftware: false } as const;

describe.skipIf(gpu === undefined).each([
  ["full", 5],
  ["less-is-more:budget=64,layers=2+7", 8],
  ["kascade:budget=64,anchors=0+2+7,maps=1:1-0+3:1-1+4:1-1", 8],
])("a decode step with %s", (spec, mostKilobytes) => {
  const opened: WebGpuBackend[] = [];
  afterAll(async () => {
    for (const backend of opened) await backend.close();
  });

  it(`allocates less than ${mostKilobytes} kB and records as many dispatches as the step before`, async () => {
    const adapter = (await gpu?.requestAdapter()) as GPUAdapter;
    const backend = await webGpuFactory(adapter, { cacheDtype: "f32", traits: TRAITS })(...sizesOf(SIZES));
    opened.push(backend);
    const step = stepsOf(backend, spec);
    const { recorder } = contextOf(backend);
    const allocated: number[] = [];
    const dispatches = new Set<number>();
    // splits, and with them command lists, change every 64 tokens
    for (let i = 0; i < 300; i++) {
      const [bytes, recorded] = [usedBytes(), recorder.dispatches];
      const sample = step(400 + (i % 40));
      if (i >= 100) {
        allocated.push(usedBytes() - bytes);
        dispatches.add(recorder.dispatches - recorded);
      }
      await sample.tokens();
    }
    expect([...dispatches]).toHaveLength(1);
    expect(median(allocated) - median(Array.from({ length: 50 }, costOfMeasuring))).toBeLessThan(
      mostKilobytes * 1000,
    );
  });
});

describe.skipIf(gpu === undefined)("decode steps whose logits are read", () => {
  it("build no command list and make no buffer once they have run", async () => {
    const adapter = (await gpu?.requestAdapter()) as GPUAdapter;
    const backend = await webGpuFactory(adapter, { cacheDtype: "f32", traits: TRAITS })(...sizesOf(SIZES));
    const step = stepsOf(backend, "less-is-more:budget=64,layers=2+7");
    const { recorder, device } = contextOf(backend);
    const logits = backend.createTensor("f32", [2, 256]);
    const out = [new Float32Array(256), new Float32Array(256)];
    let built = 0;
    const { keep } = recorder;
    recorder.keep = (node, record) => {
      built++;
      keep.call(recorder, node, record);
    };
    const { createBuffer } = device;
    device.createBuffer = (descriptor) => {
      built++;
      return createBuffer.call(device, descriptor);
    };
    const counts: number[] = [];
    for (let i = 0; i < 12; i++) {
      const sample = step(400); // splits, and with them command lists, change with the length
      const readback = backend.readback();
      for (const [row, rowOut] of out.entries()) readback.add(logits, row * 256, rowOut);
      await Promise.all([sample.tokens(), readback.arrive()]);
      await backend.read(logits);
      counts.push(built);
    }
    expect(counts[0]).toBeGreaterThan(LAYERS);
    expect(new Set(counts.slice(3)).size).toBe(1);
    await backend.close();
  });
});

describe.skipIf(gpu === undefined)("a decode step whose token is drawn at random", () => {
  it("is one submission, and two if a sample before it is recorded and not submitted", async () => {
    const adapter = (await gpu?.requestAdapter()) as GPUAdapter;
    const backend = await webGpuFactory(adapter, { cacheDtype: "f32", traits: TRAITS })(...sizesOf(SIZES));
    const drawn = [{ ...GREEDY_ROW, params: { ...GREEDY, temperature: 0.8, topP: 0.9 } }];
    const step = stepsOf(backend, "full", drawn);
    const { recorder } = contextOf(backend);
    const logits = backend.createTensor("f32", [2, 256]);
    const submissions: number[] = [];
    for (let i = 0; i < 6; i++) {
      const before = recorder.submissions;
      await step(400).tokens();
      submissions.push(recorder.submissions - before);
    }
    expect(submissions.slice(1)).toEqual([1, 1, 1, 1, 1]);
    const before = recorder.submissions;
    sampleOnDevice(backend, logits, drawn);
    sampleOnDevice(backend, logits, drawn);
    expect(recorder.submissions - before).toBe(1);
    await backend.close();
  });
});

/** Records a step of one sequence at a length, up to its sample. */
function stepsOf(
  backend: WebGpuBackend,
  spec: string,
  rows: readonly SamplingRow[] = [GREEDY_ROW],
): (length: number) => InFlightSample {
  const { model, capacity } = backend;
  const attentionModel = {
    ...model,
    pageSize: capacity.pageSize,
    defaultSelectionLayers: [2, 7],
    defaultSelectionLayersFrom: "guess" as const,
  };
  const given = parseAttention(spec);
  const policy = given.forModel?.(attentionModel) ?? given;
  const decoder = new Decoder(backend, placeWeights(backend), new Attention(backend, attentionModel));
  const batch = new StepBatchBuilder(backend, [
    createRope({ type: "default", theta: 1e4, headDim: model.headDim }),
  ]);
  const tokens = new Uint32Array(capacity.maxSequenceLength);
  const pages = Array.from({ length: capacity.maxPages }, (_, page) => page);
  const row = Uint32Array.of(0);
  return (length) => {
    batch.fill([
      { name: "test", tokens, pages, firstPosition: length - 1, numRows: 1, isPrefill: false, policy },
    ]);
    decoder.forward(batch, batch.groups);
    decoder.computeLogits(row, 1);
    return backend.sample(decoder.logits, rows);
  };
}

function placeWeights(backend: WebGpuBackend): ModelWeights {
  const { hiddenSize, intermediateSize, numQueryHeads, numKvHeads, headDim, vocabSize } = backend.model;
  const matrix = (rows: number, cols: number) => {
    const ref = backend.createWeight(matrixSpec("w", "f32", [rows, cols]));
    writes.push(() => void backend.writeWeight(ref, 0, new Uint8Array(rows * cols * 4)));
    return ref;
  };
  const vector = () => backend.createWeight(vectorSpec("v", "f32", hiddenSize));
  const writes: (() => void)[] = [];
  const layers = Array.from({ length: LAYERS }, () => ({
    attentionInput: {
      norm: vector(),
      q: matrix(numQueryHeads * headDim, hiddenSize),
      k: matrix(numKvHeads * headDim, hiddenSize),
      v: matrix(numKvHeads * headDim, hiddenSize),
    },
    attentionOutput: { o: matrix(hiddenSize, numQueryHeads * headDim) },
    feedForward: {
      kind: "dense" as const,
      norm: vector(),
      gate: matrix(intermediateSize, hiddenSize),
      up: matrix(intermediateSize, hiddenSize),
      down: matrix(hiddenSize, intermediateSize),
    },
  }));
  const embedding = matrix(vocabSize, hiddenSize);
  const weights = { embedding, layers, norm: vector(), output: embedding };
  for (const write of writes) write();
  return weights;
}

function usedBytes(): number {
  return getHeapStatistics().used_heap_size;
}

/** Bytes that two readings of the heap's size allocate. */
function costOfMeasuring(): number {
  const before = usedBytes();
  return usedBytes() - before;
}

/** The middle value: collections within a few steps change nothing. */
function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)];
}
