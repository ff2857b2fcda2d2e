/**
 * Ops on simulated devices with fewer features or other kernel sizes. A cross-section only, since each device compiles
 * every kernel again.
 */
import { afterAll, describe, expect, inject, it } from "vitest";
import { type BackendFactory, NO_TOKEN } from "../../src/backend/backend.ts";
import { ALLOWED_ERROR } from "../../src/backend/backend-kind.ts";
import {
  requestWebGpuDevice,
  type WebGpuOptions,
  webGpuFactory,
} from "../../src/backend/webgpu/open-webgpu.ts";
import { withAllPages } from "../../src/backend/with-all-pages.ts";
import { runSelfTest, SELF_TEST_CAPACITY, SELF_TEST_MODEL } from "../../src/machine/self-test.ts";
import { referenceFor } from "../../src/machine/test-candidate.ts";
import { pageScore, topK } from "../conformance/brute-force.ts";
import { advanced, makeLayer, refsOf } from "../conformance/layer-output.ts";
import { nmse } from "../conformance/random-weights.ts";
import { Trial } from "../conformance/trial.ts";
import { sizesOf } from "../sizes.ts";
import { webgpuForTests } from "./environment.ts";

const { gpu } = await webgpuForTests();

interface Kind {
  readonly name: string;
  /** Requests a device with the minimum limits and no features. */
  readonly isCore?: boolean;
  readonly options: WebGpuOptions;
}

const KINDS: readonly Kind[] = [
  {
    // the self-test's weights have up to 160 KiB
    name: "minimum limits of WebGPU, no features, weights split over slabs of 20 KiB",
    isCore: true,
    options: { cacheDtype: "f16", traits: { bindingBytes: 20480 } },
  },
  {
    name: "immediates in place of uniforms, kernel sizes of a real GPU",
    options: {
      cacheDtype: "f32",
      traits: { isSoftware: false },
      tuning: { immediates: true, selectFours: 1 }, // with 4, SwiftShader's compiler takes 15 GB
    },
  },
  {
    name: "an f16 cache, the persistent layer kernel with tickets",
    options: { cacheDtype: "f16", traits: { forwardProgress: "ticketed" } },
  },
  {
    name: "a q8 cache, the persistent layer kernel with tickets",
    options: { cacheDtype: "q8", traits: { forwardProgress: "ticketed" } },
  },
];

/** NMSE: f16 for sums over keys of 11 bits; f32 as in the conformance suite. */
const ALLOWED_NMSE = { f16: 1e-6, f32: 1e-11, q8: 1e-4 } as const;

/** `npm test` has the kernels that only lesser devices run; test:system the others, which larger ones run elsewhere too. */
const tested = KINDS.filter(({ isCore = false }) => isCore === (inject("backends") === "all"));

describe.skipIf(gpu === undefined).each(tested)("$name", ({ isCore = false, options }) => {
  const { cacheDtype = "f16" } = options;
  const devices: GPUDevice[] = [];
  afterAll(() => {
    for (const device of devices) device.destroy();
  });

  async function openOn(...sizes: Parameters<BackendFactory>) {
    const adapter = await gpu?.requestAdapter();
    if (!adapter) throw new Error("WebGPU had an adapter and has none now");
    const device = devices[0] ?? (await (isCore ? adapter.requestDevice() : requestWebGpuDevice(adapter)));
    devices[0] = device;
    return withAllPages(webGpuFactory(adapter, { ...options, device }))(...sizes);
  }

  it("every op of a layer passes the self-test against the reference, with the same selections", async () => {
    const backend = await openOn(SELF_TEST_MODEL, SELF_TEST_CAPACITY);
    if (isCore) expect(backend.report().description).toContain("no subgroups, no shader-f16");
    const rows = await runSelfTest(backend, await referenceFor(backend), ALLOWED_ERROR[cacheDtype]);
    expect(rows.length).toBeGreaterThan(15);
    expect(rows.filter(({ isRight }) => !isRight)).toEqual([]);
    await backend.close();
  });

  it("a row with NaN among 6000 logits gives NO_TOKEN, and masked tokens are never sampled, for all parameters", async () => {
    const backend = await openOn(...sizesOf({ vocabSize: 6000 }));
    const logits = backend.createTensor("f32", [8, 6000]);
    const greedy = { temperature: 0, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1, seed: 1 };
    const masked = new Float32Array(6000).fill(Number.NEGATIVE_INFINITY).fill(-7, 4321, 4322);
    const rows = [
      new Float32Array(6000).fill(Number.NaN, 5998, 5999),
      masked,
      masked.with(0, Number.POSITIVE_INFINITY),
    ];
    for (const way of [
      {},
      { temperature: 1 },
      { temperature: 1, topK: 9 },
      { temperature: 2, topP: 0.9, minP: 0.1 },
    ]) {
      backend.write(logits, Float32Array.from(rows.flatMap((row) => [...row])));
      const params = { ...greedy, ...way };
      const draw = backend.sample(
        logits,
        rows.map((_, i) => ({ params, sampleIndex: i, seenTokens: [] })),
      );
      expect([...(await draw.tokens())]).toEqual([NO_TOKEN, 4321, NO_TOKEN]);
    }
    await backend.close();
  });

  it(`experts whose rows slabs cut equal brute force, NMSE < ${ALLOWED_NMSE[cacheDtype]}`, async () => {
    const experts = { numExperts: 5, topExperts: 2, intermediateSize: 18, isNormalised: true };
    const backend = await openOn(...sizesOf({ hiddenSize: 64, experts }));
    const trial = new Trial(backend, 3);
    const weights = makeLayer(trial, "f32", false);
    trial.begin([trial.part(trial.newSequence(), 9)]);
    const xs = trial.parts.flatMap(({ rows }) => rows);
    const attended = xs.map(() => new Float64Array(backend.model.numQueryHeads * backend.model.headDim));
    const tensors = { attended: trial.output, x: trial.x, query: trial.query };
    backend.advance(refsOf(weights), undefined, tensors);
    const expected = xs.flatMap((x, row) => [...advanced(backend.model, weights, x, attended[row])]);
    expect(nmse(await trial.floats(trial.x), expected)).toBeLessThan(ALLOWED_NMSE[cacheDtype]);
    await backend.close();
  });

  it(`Quest's bounds equal brute force, NMSE < ${ALLOWED_NMSE[cacheDtype]}, and the best pages by them exactly`, async () => {
    const backend = await openOn(...sizesOf({ headDim: 10, maxSequenceLength: 512, maxPages: 40 }));
    const trial = new Trial(backend, 1).withInputs();
    const range = { first: 0, count: 1 };
    const sequence = trial.newSequence();
    for (const rows of [64, 64, 64, 64, 64, 30, 1]) {
      trial.run([trial.part(sequence, rows)]);
      backend.updatePageBounds(0, range);
    }
    const { numQueryHeads: heads } = backend.model;
    const { pageSize: unit } = backend.capacity;
    const numPages = Math.ceil(sequence.length / unit);
    const scores = { values: trial.tensor("f32", 8, heads, numPages), heads, unit };
    const best = { units: trial.tensor("u32", 8, heads, 6), headGroups: heads, count: 6, unit };
    const ends = { sinks: 1, recent: 2 };
    backend.pageScores(0, range, trial.query, scores);
    backend.topK(range, scores, ends, best);
    const actual = await trial.floats(scores.values);
    const chosen = await trial.integers(best.units);
    for (let h = 0; h < heads; h++) {
      const keys = trial.keysOf(sequence, 0, h);
      const expected = Array.from({ length: numPages }, (_, p) =>
        pageScore(trial.queries[0][h], keys.slice(p * unit, (p + 1) * unit)),
      );
      const given = actual.slice(h * numPages, (h + 1) * numPages);
      expect(nmse(given, expected)).toBeLessThan(ALLOWED_NMSE[cacheDtype]);
      expect([...chosen.slice(h * 6, h * 6 + 6)].sort((a, b) => a - b)).toEqual(
        topK(given, ends, 6).sort((a, b) => a - b),
      );
    }
    await backend.close();
  });
});
