/**
 * `advance` against brute force, through two layers: with and without a next layer, for one row and many. A backend may
 * defer work of attention to `advance`; a read of `attended` in between must change nothing.
 */

import { afterEach, describe, expect, it } from "vitest";
import type { Backend } from "../../src/backend/backend.ts";
import { contextOf } from "../../src/backend/webgpu/bench-access.ts";
import { WebGpuBackend } from "../../src/backend/webgpu/webgpu-backend.ts";
import { place } from "../place/here.ts";
import { sizesOf } from "../sizes.ts";
import { BACKENDS, webGpuWithLayerKernel } from "./backend-table.ts";
import { EVEN, type LayersModel, ODD, TwoLayers } from "./two-layers.ts";

/** Whole super-blocks; whole blocks, in rows that are no whole strips of the kernels. */
const SUPER = { hiddenSize: 256, intermediateSize: 512, numQueryHeads: 4, numKvHeads: 2, headDim: 64 };
const BLOCKS = { hiddenSize: 96, intermediateSize: 160, numQueryHeads: 3, numKvHeads: 1, headDim: 32 };

const ROPES = { numRopes: 2, layers: [{ rope: 1 }, { rope: 1, queryRope: 0 }] };

const MODELS: readonly (readonly [string, LayersModel])[] = [
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
const QUANTISED_MODELS: readonly (readonly [string, LayersModel])[] = [
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

  async function openLayers(model: LayersModel): Promise<TwoLayers> {
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
