/**
 * Quantised weights against f64 of the values that their blocks decode to: rows repacked for the device, products of a row, of few
 * and of many, the embedding. x is rounded to 22 bits of the largest of 32 elements, so that NMSE stays near 1e-13 times what
 * cancels in the sums.
 */
import { afterAll, describe, expect, it } from "vitest";
import {
  requestWebGpuDevice,
  type WebGpuOptions,
  webGpuFactory,
} from "../../src/backend/webgpu/open-webgpu.ts";
import { QUANTISED_FORMATS } from "../../src/backend/webgpu/weight-rows.ts";
import { withAllPages } from "../../src/backend/with-all-pages.ts";
import type { WeightFormat } from "../../src/base/weight-format.ts";
import { makeWeight, Random } from "../conformance/random-weights.ts";
import { Trial } from "../conformance/trial.ts";
import { Products } from "../gpu/products.ts";
import { sizesOf } from "../sizes.ts";
import { matrixSpec } from "../weight-specs.ts";
import { webgpuForTests } from "./environment.ts";

const { gpu } = await webgpuForTests();

/** Whole super-blocks; rows that are no whole strips of the kernels. */
const SIZES = {
  hiddenSize: 256,
  intermediateSize: 768,
  vocabSize: 41,
  headDim: 32,
  numQueryHeads: 8,
  numKvHeads: 2,
};
/** Blocks of 32 alone, in an odd number a row. */
const ODD_SIZES = { ...SIZES, hiddenSize: 96, intermediateSize: 160, numQueryHeads: 3, numKvHeads: 1 };

type Case = readonly [format: WeightFormat, more: WeightFormat, sizes: typeof SIZES];
const EVERY_FORMAT: readonly Case[] = [
  ...QUANTISED_FORMATS.map((format) => [format, format, SIZES] as const),
  ["q4_k", "q6_k", SIZES],
  ["q8_0", "q4_1", ODD_SIZES],
  ["f16", "q4_0", ODD_SIZES],
];

interface Kind {
  readonly name: string;
  readonly isCore?: boolean;
  readonly options: WebGpuOptions;
  readonly cases: readonly Case[];
}

const KINDS: readonly Kind[] = [
  { name: "a device with subgroups", options: {}, cases: EVERY_FORMAT },
  {
    name: "a device without subgroups and packed dot products, matrices split over slabs",
    isCore: true,
    options: { traits: { hasPackedDot: false, bindingBytes: 20480 } },
    cases: [
      ["q4_k", "q6_k", SIZES],
      ["q8_0", "q4_1", ODD_SIZES],
    ],
  },
];

describe.skipIf(gpu === undefined).each(KINDS)("$name", ({ isCore = false, options, cases }) => {
  const devices: GPUDevice[] = [];
  afterAll(() => {
    for (const device of devices) device.destroy();
  });

  async function open(sizes: typeof SIZES) {
    const adapter = await gpu?.requestAdapter();
    if (!adapter) throw new Error("WebGPU had an adapter and has none now");
    const device = devices[0] ?? (await (isCore ? adapter.requestDevice() : requestWebGpuDevice(adapter)));
    devices[0] = device;
    const factory = webGpuFactory(adapter, { cacheDtype: "f16", ...options, device });
    return withAllPages(factory)(...sizesOf({ ...sizes, maxBatchRows: 16 }));
  }

  it.each(
    cases,
  )("%s, down and output %s: products of 1, 3 and 9 rows within NMSE 1e-11", async (format, more, sizes) => {
    const backend = await open(sizes);
    const products = new Products(new Trial(backend, 7, "f16"), sizes, { format, more });
    for (const count of [1, 3, 9])
      for (const [op, error] of await products.errors(count))
        expect(error, `${op} of ${count} rows`).toBeLessThan(1e-11);
    await backend.close();
  });

  it.each(cases)("%s, %s: embeds exactly what the blocks decode to", async (_, format, sizes) => {
    const backend = await open(sizes);
    const { vocabSize, hiddenSize } = sizes;
    const spec = matrixSpec("embedding", format, [vocabSize, hiddenSize]);
    const { ref, plain } = makeWeight(backend, spec, new Random(3));
    const trial = new Trial(backend, 7, "f16").withInputs();
    trial.begin([trial.part(trial.newSequence(), 3)]);
    trial.batch.tokenIds.set([40, 0, 7]);
    backend.beginStep(trial.batch);
    backend.embed(ref, trial.x);
    const x = await trial.floats(trial.x);
    const row = (token: number) => plain.values.subarray(token * hiddenSize, (token + 1) * hiddenSize);
    const rows = [40, 0, 7].flatMap((token) => [...row(token)]);
    // one rounding of a product and a sum, which the decoder rounds apart
    rows.forEach((value, i) => {
      expect(Math.abs(x[i] - value)).toBeLessThanOrEqual(2 ** -23 * Math.max(0.5, Math.abs(value)));
    });
    await backend.close();
  });
});
