/**
 * Quantised weights against f64 of the values that their blocks decode to: rows repacked for the device, products of a row, of few
 * and of many, the embedding. x is rounded to 1/65024 of the largest of 32 elements: an NMSE of 4e-10, times what cancels
 * in the sums.
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
import { matvec, rmsNorm } from "../conformance/brute-force.ts";
import { makeWeight, nmse, Random } from "../conformance/random-weights.ts";
import { Trial } from "../conformance/trial.ts";
import { Products } from "../gpu/products.ts";
import { sizesOf } from "../sizes.ts";
import { matrixSpec, vectorSpec } from "../weight-specs.ts";
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

interface Kind {
  readonly name: string;
  readonly isCore?: boolean;
  readonly options: WebGpuOptions;
  /** Formats of single products. */
  readonly formats: readonly WeightFormat[];
  /** Formats of a layer's products. */
  readonly layers: readonly Case[];
}

/** SwiftShader takes a second and more to compile a product. */
const KINDS: readonly Kind[] = [
  {
    name: "a device with subgroups",
    options: {},
    formats: QUANTISED_FORMATS,
    layers: [["q8_0", "q4_0", ODD_SIZES]],
  },
  {
    name: "a device without subgroups and packed dot products, matrices split over slabs",
    isCore: true,
    options: { traits: { hasPackedDot: false, bindingBytes: 20480 } },
    formats: ["q4_k"],
    layers: [],
  },
];

describe.skipIf(gpu === undefined).each(KINDS)("$name", ({ isCore = false, options, formats, layers }) => {
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
    layers,
  )("%s, down in %s: a layer's products of 1, 3 and 9 rows within NMSE 1e-8", async (format, more, sizes) => {
    const backend = await open(sizes);
    const products = new Products(new Trial(backend, 7, "f16"), sizes, { format, more });
    for (const count of [1, 3, 9])
      for (const [op, error] of await products.errors(count))
        expect(error, `${op} of ${count} rows`).toBeLessThan(1e-8);
    await backend.close();
  });

  it.each(
    formats,
  )("%s: embeds what the blocks decode to; logits of 1 and 5 rows within NMSE 1e-8", async (format) => {
    const backend = await open(SIZES);
    const { vocabSize, hiddenSize } = SIZES;
    const random = new Random(3);
    const spec = matrixSpec("embedding", format, [vocabSize, hiddenSize]);
    const { ref, plain } = makeWeight(backend, spec, random);
    const norm = makeWeight(backend, vectorSpec("norm", "f32", hiddenSize), random);
    const trial = new Trial(backend, 7, "f16").withInputs();
    const logits = trial.tensor("f32", 8, vocabSize);
    const tokens = [40, 0, 7, 3, 39];
    trial.begin([trial.part(trial.newSequence(), tokens.length)]);
    trial.batch.tokenIds.set(tokens);
    backend.beginStep(trial.batch);
    backend.embed(ref, trial.x);
    const x = await trial.floats(trial.x);
    const rows = tokens.map((token) => plain.values.subarray(token * hiddenSize, (token + 1) * hiddenSize));
    // a product and a sum are rounded once, which the decoder rounds apart
    const off = rows
      .flatMap((row) => [...row])
      .map((value, i) => Math.abs(x[i] - value) / Math.max(0.5, Math.abs(value)));
    expect(Math.max(...off)).toBeLessThanOrEqual(2 ** -23);
    for (const count of [1, tokens.length]) {
      backend.logits(norm.ref, ref, trial.x, Uint32Array.from(tokens.keys()), count, logits);
      const expected = rows
        .slice(0, count)
        .flatMap((row) => [...matvec(plain, rmsNorm(row, norm.plain.values, backend.model.rmsNormEps))]);
      expect(nmse(await trial.floats(logits), expected)).toBeLessThan(1e-8);
    }
    await backend.close();
  });
});
