/** Whole decode steps of a shape on a GPU, embedding to drawn token, with weights and cache made on the device. */
import { Attention, attendedRows } from "../../src/attention/attend.ts";
import type { AttentionPolicy } from "../../src/attention/policy.ts";
import { parseAttention } from "../../src/attention/spec.ts";
import type { CacheDtype } from "../../src/backend/webgpu/context.ts";
import { openWebGpuBackend, type WebGpuOptions } from "../../src/backend/webgpu/open-webgpu.ts";
import { WebGpuBackend } from "../../src/backend/webgpu/webgpu-backend.ts";
import type { WeightDtype } from "../../src/base/dtype.ts";
import { StepBatchBuilder } from "../../src/engine/step-batch.ts";
import { Decoder } from "../../src/model/decoder.ts";
import { createRope } from "../../src/model/rope.ts";
import type { ModelWeights } from "../../src/model/weights.ts";
import { median } from "../statistics.ts";
import { backendShape, type ModelShape, stepBytes } from "./shapes.ts";

export interface DecodeRow {
  readonly context: number;
  readonly attention: string;
  readonly msPerStep: number;
  readonly spreadMs: readonly [least: number, most: number];
  /** Time in which the host recorded a step. */
  readonly hostMs: number;
  /** GPU milliseconds by part; each dispatch timed alone, so their sum is more than a step. */
  readonly gpuMs: Readonly<Record<string, number>>;
  readonly bytes: number;
  readonly rooflineMs: number;
  readonly overRoofline: number;
  readonly speedupOverFull: number;
}

const GREEDY = { temperature: 0, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1, seed: 1 };

export async function openShape(
  adapter: GPUAdapter,
  shape: ModelShape,
  context: number,
  rows: number,
  dtype: WeightDtype,
  cacheDtype: CacheDtype,
  options: WebGpuOptions = {},
): Promise<{ backend: WebGpuBackend; weights: ModelWeights }> {
  const backend = await openWebGpuBackend(backendShape(shape, context, rows), adapter, {
    ...options,
    cacheDtype,
  });
  if (!(backend instanceof WebGpuBackend)) throw new TypeError("the webgpu backend is of another class");
  const { hiddenSize, intermediateSize, numQueryHeads, numKvHeads, headDim, vocabSize } = shape;
  const matrix = (name: string, r: number, c: number) => backend.createWeight(name, dtype, r, c);
  const vector = (name: string, size: number) => backend.createWeight(name, "f32", 1, size);
  const embedding = matrix("embedding", vocabSize, hiddenSize);
  const layers = Array.from({ length: shape.numLayers }, () => ({
    attentionInput: {
      norm: vector("norm", hiddenSize),
      q: matrix("q", numQueryHeads * headDim, hiddenSize),
      k: matrix("k", numKvHeads * headDim, hiddenSize),
      v: matrix("v", numKvHeads * headDim, hiddenSize),
      ...(shape.hasQkNorm && { qNorm: vector("q norm", headDim), kNorm: vector("k norm", headDim) }),
    },
    attentionOutput: { o: matrix("o", hiddenSize, numQueryHeads * headDim) },
    feedForward: {
      norm: vector("norm", hiddenSize),
      gate: matrix("gate", intermediateSize, hiddenSize),
      up: matrix("up", intermediateSize, hiddenSize),
      down: matrix("down", hiddenSize, intermediateSize),
    },
  }));
  const norm = vector("norm", hiddenSize);
  const output = shape.isTied ? embedding : matrix("output", vocabSize, hiddenSize);
  backend.fillRandom(7);
  await backend.finish();
  return { backend, weights: { embedding, layers, norm, output } };
}

/** One sequence on one backend, stepped at any context. */
export class Stepper {
  readonly backend: WebGpuBackend;
  readonly #decoder: Decoder;
  readonly #batch: StepBatchBuilder;
  readonly #pages: readonly number[];
  readonly #tokens: Uint32Array;
  readonly #drawRow = Uint32Array.of(0);

  constructor(backend: WebGpuBackend, weights: ModelWeights, attention: Attention) {
    const { shape } = backend;
    this.backend = backend;
    this.#decoder = new Decoder(backend, weights, attention);
    const rope = createRope({ type: "default", theta: 1e6, headDim: shape.headDim } as Parameters<
      typeof createRope
    >[0]);
    this.#batch = new StepBatchBuilder(shape, rope);
    // pages in no order, as after a while of serving
    this.#pages = shuffled(shape.numPages);
    this.#tokens = new Uint32Array(shape.maxSequenceLength).map((_, i) => (i * 7919) % shape.vocabSize);
  }

  /** Records a decode step at which `length` tokens are cached. */
  step(length: number, policy: AttentionPolicy): void {
    this.#forward(length - 1, 1, false, policy);
    this.#decoder.computeLogits(this.#drawRow, 1);
    this.backend.sampleOnDevice(this.#decoder.logits, [{ params: GREEDY, draw: 0, seenTokens: [] }]);
  }

  get logits() {
    return this.#decoder.logits;
  }

  /** Records the prefill of rows first .. first + count - 1. */
  prefill(first: number, count: number, policy: AttentionPolicy): void {
    this.#forward(first, count, true, policy);
  }

  #forward(first: number, count: number, isPrefill: boolean, policy: AttentionPolicy): void {
    const run = { tokens: this.#tokens, pages: this.#pages, firstPosition: first, numRows: count };
    this.#batch.fill([{ ...run, isPrefill, policy }]);
    this.#decoder.forward(this.#batch, this.#batch.groups);
  }
}

function shuffled(count: number): number[] {
  const pages = Array.from({ length: count }, (_, i) => i);
  let state = 1;
  for (let i = count - 1; i > 0; i--) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    const j = state % (i + 1);
    [pages[i], pages[j]] = [pages[j] as number, pages[i] as number];
  }
  return pages;
}

export interface DecodeOptions {
  readonly contexts: readonly number[];
  readonly attention: readonly string[];
  readonly steps: number;
  readonly dtype: WeightDtype;
  readonly cacheDtype: CacheDtype;
  /** GB/s of a plain read in this run. */
  readonly readBandwidth: number;
}

export async function benchDecode(
  adapter: GPUAdapter,
  shape: ModelShape,
  options: DecodeOptions,
  onRow: (row: DecodeRow) => void = () => {},
): Promise<readonly DecodeRow[]> {
  const longest = Math.max(...options.contexts);
  const { dtype, cacheDtype, steps } = options;
  const { backend, weights } = await openShape(adapter, shape, longest, 1, dtype, cacheDtype);
  const model = { ...shape, pageSize: 16, defaultSelectionLayers: shape.selectionLayers };
  const rows: DecodeRow[] = [];
  try {
    const stepper = new Stepper(backend, weights, new Attention(backend, model));
    for (const context of options.contexts) {
      let fullMs = Number.NaN;
      for (const spec of options.attention) {
        const given = parseAttention(spec);
        const policy = given.forModel?.(model) ?? given;
        for (let i = 0; i < 3; i++) stepper.step(context, policy);
        await backend.finish();
        const rounds: number[] = [];
        const host: number[] = [];
        for (let round = 0; round < 5; round++) {
          const started = performance.now();
          for (let i = 0; i < steps; i++) stepper.step(context, policy);
          backend.flush();
          host.push((performance.now() - started) / steps);
          await backend.finish();
          rounds.push((performance.now() - started) / steps);
        }
        const gpuMs = await backend.profile(() => stepper.step(context, policy));
        const bytes = stepBytes(
          shape,
          dtype === "f32" ? 4 : 2,
          cacheDtype === "f32" ? 4 : 2,
          attendedRows(policy, shape.numLayers, context),
        );
        const msPerStep = median(rounds);
        if (spec === "full") fullMs = msPerStep;
        const rooflineMs = bytes / options.readBandwidth / 1e6;
        const row = {
          context,
          attention: spec,
          msPerStep,
          spreadMs: [Math.min(...rounds), Math.max(...rounds)] as const,
          hostMs: median(host),
          gpuMs,
          bytes,
          rooflineMs,
          overRoofline: msPerStep / rooflineMs,
          speedupOverFull: fullMs / msPerStep,
        };
        rows.push(row);
        onRow(row);
      }
    }
  } finally {
    await backend.close();
  }
  return rows;
}
