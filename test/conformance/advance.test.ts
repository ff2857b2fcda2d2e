/**
 * `advance` against brute force, through two layers: with and without a next layer, for one row and many. A backend may
 * defer work of attention to `advance`; a read of `attended` in between must change nothing.
 */

import { afterEach, describe, expect, it } from "vitest";
import type { Backend, CacheDtype, LayerOutputWeights } from "../../src/backend/backend.ts";
import { contextOf } from "../../src/backend/webgpu/bench-access.ts";
import { WebGpuBackend } from "../../src/backend/webgpu/webgpu-backend.ts";
import { isFloatFormat, type WeightFormat } from "../../src/base/weight-format.ts";
import { place } from "../place/here.ts";
import { sizesOf } from "../sizes.ts";
import { matrixSpec, vectorSpec } from "../weight-specs.ts";
import { allowedNmse, BACKENDS, webGpuWithLayerKernel } from "./backend-table.ts";
import { attention, matvec, rmsNorm, silu } from "./brute-force.ts";
import { inputRefs, makeInput, makeWeight, nmse, type PairedWeight } from "./random-weights.ts";
import { Trial, type TrialBackend } from "./trial.ts";

/** Sizes that every kernel takes; ones that do not divide evenly. */
const EVEN = { hiddenSize: 48, intermediateSize: 136, numQueryHeads: 4, numKvHeads: 2, headDim: 16 };
const ODD = { hiddenSize: 37, intermediateSize: 70, numQueryHeads: 6, numKvHeads: 3, headDim: 10 };

/** Whole super-blocks; whole blocks, in rows that are no whole strips of the kernels. */
const SUPER = { hiddenSize: 256, intermediateSize: 512, numQueryHeads: 4, numKvHeads: 2, headDim: 64 };
const BLOCKS = { hiddenSize: 96, intermediateSize: 160, numQueryHeads: 3, numKvHeads: 1, headDim: 32 };

interface Model {
  readonly dtype: WeightFormat;
  /** Formats of single matrices that are not `dtype`. */
  readonly valueDtype?: WeightFormat;
  readonly gateUpDtype?: WeightFormat;
  readonly downDtype?: WeightFormat;
  readonly sizes?: typeof ODD;
  readonly bias?: boolean;
  readonly outputBias?: boolean;
  readonly headNorm?: boolean;
  /** A RoPE table for the queries of the second layer, and one for all else. */
  readonly hasRopes?: boolean;
}

const ROPES = { numRopes: 2, layers: [{ rope: 1 }, { rope: 1, queryRope: 0 }] };

const MODELS: readonly (readonly [string, Model])[] = [
  ["f32, bias", { dtype: "f32", bias: true }],
  ["f16", { dtype: "f16" }],
  ["bf16, q/k norm", { dtype: "bf16", headNorm: true }],
  ["f32 of odd sizes, every bias", { dtype: "f32", sizes: ODD, bias: true, outputBias: true }],
];

/** What the layer kernel takes on one row. */
const LAYER_KERNEL_MODELS: typeof MODELS = [
  ...MODELS.slice(0, 1),
  ["f16, RoPE tables of the next layer's own", { dtype: "f16", hasRopes: true }],
  ...MODELS.slice(2, 3),
];

/** Models in quantised weights, for the stages of the layer kernel; `test/webgpu/quantised.test.ts` has every format without it. */
const QUANTISED_MODELS: readonly (readonly [string, Model])[] = [
  ["q4_k, values and down in q6_k", { dtype: "q4_k", valueDtype: "q6_k", downDtype: "q6_k", sizes: SUPER }],
  ["q8_0, bias, q/k norm", { dtype: "q8_0", sizes: BLOCKS, bias: true, headNorm: true }],
  ["q4_1, gate and up in f16", { dtype: "q4_1", gateUpDtype: "f16", sizes: BLOCKS }],
];

/** Rows of each sequence in a step. */
const BATCHES = [[1], [1, 5, 1]];

describe.each([...BACKENDS, ...(await webGpuWithLayerKernel())])("$name", ({
  name,
  open,
  cases,
  cacheDtype,
}) => {
  const isLayerKernel = name.startsWith("webgpu, layer kernel");
  // kernels take a software adapter seconds to compile
  const layerKernelModels = cacheDtype === "q8" ? LAYER_KERNEL_MODELS.slice(1, 2) : LAYER_KERNEL_MODELS;
  const models = isLayerKernel ? layerKernelModels : cases ? MODELS.slice(3) : MODELS;
  const batches = isLayerKernel ? BATCHES.slice(0, 1) : BATCHES;
  const opened: Backend[] = [];
  afterEach(async () => {
    for (const backend of opened.splice(0)) await backend.close();
  });

  async function openLayers(model: Model): Promise<TwoLayers> {
    const ropes = model.hasRopes ? ROPES : {};
    const backend = await open(...sizesOf({ numLayers: 2, ...(model.sizes ?? EVEN), ...ropes }));
    opened.push(backend);
    return new TwoLayers(backend, model, cacheDtype);
  }

  // products do not know the cache
  const quantised = isLayerKernel && cacheDtype !== "q8" ? QUANTISED_MODELS : [];
  it.each([
    ...models,
    ...quantised,
  ])("%s: x, queries, keys and values within NMSE 1e-11, of quantised weights 1e-8", async (_, model) => {
    const layers = await openLayers(model);
    for (const rows of batches) {
      const sequences = [];
      for (let s = 0; s < rows.length; s++) sequences.push(await layers.trial.filled(37 - 5 * s));
      // several steps, since backends reuse state from one to the next
      for (let step = 0; step < 3; step++) {
        const { trial } = layers;
        trial.begin(sequences.map((sequence, s) => trial.part(sequence, rows[s])));
        await layers.check({ isRead: step === 1 });
      }
    }
  });

  it("`advance` of one row is one dispatch with the layer kernel, and more than two without", async () => {
    const layers = await openLayers({ dtype: "f16" });
    const { backend } = layers.trial;
    if (!(backend instanceof WebGpuBackend)) return expect(name).not.toContain("layer kernel");
    layers.trial.begin([layers.trial.part(layers.trial.newSequence(), 1)]);
    const { recorder } = contextOf(backend);
    const before = recorder.dispatches;
    layers.advance(0);
    // a browser's software adapter binds too few buffers
    const isOne = isLayerKernel && place.name === "Node";
    if (isOne) expect(recorder.dispatches - before).toBe(1);
    else expect(recorder.dispatches - before).toBeGreaterThan(2);
  });
});

/** Two layers of a decoder, with brute force. */
class TwoLayers {
  readonly trial: Trial;
  readonly #allowedNmse: number;
  readonly #weights: readonly ReturnType<typeof makeOutput>[];

  constructor(backend: TrialBackend, model: Model, cacheDtype: CacheDtype | undefined) {
    this.trial = new Trial(backend, 5, cacheDtype);
    // beside quantised weights x is rounded to 16 bits
    this.#allowedNmse = allowedNmse(isFloatFormat(model.dtype) ? 1e-11 : 1e-8, cacheDtype);
    const { placing, write } = placeBeforeWriting(backend);
    this.trial.useInputs([0, 1].map(() => makeInput(placing, this.trial.random, model)));
    this.#weights = [0, 1].map(() => makeOutput(placing, this.trial, model));
    write();
  }

  advance(layer: 0 | 1): void {
    const { backend, output: attended, x, query } = this.trial;
    const next = layer === 0 ? { layer: 1, weights: inputRefs(this.trial.input(1)) } : undefined;
    backend.advance(outputRefs(this.#weights[layer]), next, { attended, x, query });
  }

  /** Runs both layers on the current step. isRead: reads `attended` before `advance`. */
  async check({ isRead }: { readonly isRead: boolean }): Promise<void> {
    const { trial } = this;
    const { backend, parts, query, output, x } = trial;
    const range = { first: 0, count: parts.length };
    let xs = parts.flatMap(({ rows }) => rows);
    trial.attentionInput(0);
    for (const layer of [0, 1] as const) {
      backend.attendAll(layer, range, query, output);
      const attended = this.#attended(layer);
      if (isRead) await this.#expectRows(output, attended);
      xs = this.#advanced(layer, xs, attended);
      this.advance(layer);
      await this.#expectRows(x, xs);
      if (layer === 1) break;
      trial.followInput(1, xs);
      await this.#expectRows(
        query,
        trial.queries.map((heads) => Float64Array.from(heads.flatMap((head) => [...head]))),
      );
    }
  }

  async #expectRows(tensor: Trial["x"], expected: readonly Float64Array[]): Promise<void> {
    const numbers = expected.flatMap((row) => [...row]);
    const actual = await this.trial.floats(tensor);
    expect(numbers.some((value) => value !== 0)).toBe(true);
    expect(nmse(actual, numbers)).toBeLessThan(this.#allowedNmse);
  }

  #attended(layer: number): Float64Array[] {
    const { trial } = this;
    return trial.parts.flatMap(({ sequence, rows }, s) =>
      rows.map((_, i) => {
        const visible = sequence.length - rows.length + i + 1;
        const heads = trial.queries[trial.batch.firstRows[s] + i].map((head, h) =>
          attention(
            head,
            trial.keysOf(sequence, layer, h).slice(0, visible),
            trial.valuesOf(sequence, layer, h).slice(0, visible),
          ),
        );
        return Float64Array.from(heads.flatMap((head) => [...head]));
      }),
    );
  }

  #advanced(layer: 0 | 1, xs: readonly Float64Array[], attended: readonly Float64Array[]): Float64Array[] {
    const { o, oBias, norm, gate, up, down } = this.#weights[layer];
    const { rmsNormEps } = this.trial.backend.model;
    return xs.map((before, row) => {
      const x = matvec(o.plain, attended[row], oBias?.plain).map((value, c) => value + before[c]);
      const normed = rmsNorm(x, norm.plain.values, rmsNormEps);
      const lifted = matvec(up.plain, normed);
      const inner = matvec(gate.plain, normed).map((g, i) => silu(g) * lifted[i]);
      return matvec(down.plain, inner).map((value, c) => value + x[c]);
    });
  }
}

function makeOutput(
  backend: Backend,
  { random, backend: { model: sizes } }: Trial,
  { dtype, outputBias, gateUpDtype, downDtype }: Model,
) {
  const { hiddenSize: hidden, intermediateSize: wide, numQueryHeads, headDim } = sizes;
  const make = (name: string, rows: number, cols: number, format = dtype): PairedWeight =>
    makeWeight(backend, matrixSpec(name, format, [rows, cols]), random);
  const vector = (name: string): PairedWeight => makeWeight(backend, vectorSpec(name, dtype, hidden), random);
  return {
    o: make("o", hidden, numQueryHeads * headDim),
    oBias: outputBias ? vector("o.bias") : undefined,
    norm: vector("norm"),
    gate: make("gate", wide, hidden, gateUpDtype),
    up: make("up", wide, hidden, gateUpDtype),
    down: make("down", hidden, wide, downDtype),
  };
}

function outputRefs({ o, oBias, ...feed }: ReturnType<typeof makeOutput>): LayerOutputWeights {
  const { norm, gate, up, down } = feed;
  return {
    output: { o: o.ref, ...(oBias && { oBias: oBias.ref }) },
    feedForward: { kind: "dense" as const, norm: norm.ref, gate: gate.ref, up: up.ref, down: down.ref },
  };
}

/** Wraps a backend: defers writes of weights until all are created, as when a checkpoint loads. */
function placeBeforeWriting(backend: Backend): { placing: Backend; write(): void } {
  const writes: Parameters<Backend["writeWeight"]>[] = [];
  const placing = new Proxy(backend, {
    get(target, key) {
      if (key === "writeWeight")
        return (...args: Parameters<Backend["writeWeight"]>) => void writes.push(args);
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
  return {
    placing,
    write: () => {
      for (const args of writes) void backend.writeWeight(...args);
    },
  };
}
