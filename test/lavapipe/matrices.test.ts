/** What runs on subgroup matrices, on an software adapter that has them (8 × 8 × 8, subgroups of 8, 32 KiB): against brute force. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { adapterTraits, requestWebGpuDevice, webGpuFactory } from "../../src/backend/webgpu/open-webgpu.ts";
import { withAllPages } from "../../src/backend/with-all-pages.ts";
import { openDawn } from "../../src/node/dawn.ts";
import { EVEN, type LayersModel, TwoLayers } from "../conformance/two-layers.ts";
import { SUBGROUP_MATRIX_NMSE } from "../gpu/gpu.ts";
import { type Sizes, sizesOf } from "../sizes.ts";

let adapter: GPUAdapter;
let device: GPUDevice;
beforeAll(async () => {
  const found = await (await openDawn()).requestAdapter();
  if (!found) throw new Error("there is no lavapipe");
  adapter = found;
  device = await requestWebGpuDevice(adapter);
});
afterAll(() => device?.destroy());

const open = (sizes: Partial<Sizes>, cacheDtype: "f16" | "q8") =>
  withAllPages(webGpuFactory(adapter, { cacheDtype, device }))(...sizesOf({ numLayers: 2, ...sizes }));

it("the adapter has subgroup matrices", () => {
  expect(adapterTraits(adapter)).toMatchObject({
    subgroupMatrix: { m: 8, n: 8, k: 8 },
    minSubgroupSize: 8,
    workgroupBytes: 32768,
  });
});

/** Rows of which several workgroups share the columns, in whole super-blocks. */
const WIDE = { hiddenSize: 256, intermediateSize: 512, numQueryHeads: 16, numKvHeads: 4, headDim: 16 };
/** Rows of each sequence: a decode batch; a prefill chunk, whose attention has matrices too. The compiler takes tens of seconds for either. */
const BATCHES = [[1, 5, 1], [12]];
const MODELS: readonly (readonly [string, LayersModel, "f16" | "q8", typeof BATCHES])[] = [
  [
    "bf16, biases and norms of heads",
    { dtype: "bf16", sizes: WIDE, bias: true, outputBias: true, headNorm: true },
    "f16",
    BATCHES,
  ],
  [
    "f16, q8 cache, rows that are no whole strips",
    { dtype: "f16", sizes: EVEN, hasRopes: true },
    "q8",
    BATCHES,
  ],
  [
    "q4_k and q6_k",
    { dtype: "q4_k", valueDtype: "q6_k", downDtype: "q6_k", sizes: WIDE },
    "f16",
    BATCHES.slice(0, 1),
  ],
];
const ROPES = { numRopes: 2, layers: [{ rope: 1 }, { rope: 1, queryRope: 0 }] };

describe.each(MODELS)("%s", (_, model, cacheDtype, batches) => {
  it("two layers: x, queries, keys and values", async () => {
    const backend = await open({ ...(model.sizes ?? EVEN), ...(model.hasRopes ? ROPES : {}) }, cacheDtype);
    const layers = new TwoLayers(backend, model, cacheDtype, SUBGROUP_MATRIX_NMSE);
    for (const rows of batches) {
      const sequences = [];
      for (let s = 0; s < rows.length; s++) sequences.push(await layers.trial.filled(37 - 5 * s));
      // again, from the command lists
      for (let step = 0; step < 2; step++) {
        const { trial } = layers;
        trial.begin(sequences.map((sequence, s) => trial.part(sequence, rows[s])));
        await layers.check({ isRead: step === 1 });
      }
    }
    await backend.close();
  });
});

it("sums of slices are added by the kernels that read them: a layer of a batch has no dispatch for them but the last", async () => {
  const labels: string[] = [];
  const own = await (await openDawn()).requestAdapter();
  if (!own) throw new Error("there is no second adapter");
  const watched = await requestWebGpuDevice(own);
  const { createComputePipeline } = watched;
  watched.createComputePipeline = (descriptor) => {
    labels.push(descriptor.label ?? "");
    return createComputePipeline.call(watched, descriptor);
  };
  const openWatched = withAllPages(webGpuFactory(own, { cacheDtype: "f16", device: watched }));
  const backend = await openWatched(...sizesOf({ numLayers: 2, ...WIDE }));
  const layers = new TwoLayers(backend, { dtype: "f16", sizes: WIDE }, "f16", SUBGROUP_MATRIX_NMSE);
  layers.trial.begin([layers.trial.part(await layers.trial.filled(3), 6)]);
  layers.advance(0);
  expect(labels.filter((label) => label.includes("gemm-subgroup-matrix")).length).toBeGreaterThan(1);
  expect(labels.filter((label) => label.startsWith("sum-slices"))).toEqual([]);
  layers.advance(1);
  expect(labels.filter((label) => label.startsWith("sum-slices"))).toHaveLength(1);
  await backend.close();
  watched.destroy();
});
