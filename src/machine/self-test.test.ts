import { describe, expect, it, test } from "vitest";
import { BACKENDS_AND_ROUNDED } from "../../test/conformance/backend-table.ts";
import { TINY_MODEL } from "../../test/engine/tiny-engine.ts";
import { countedGpu } from "../../test/webgpu/counted-gpu.ts";
import { webgpuForTests } from "../../test/webgpu/environment.ts";
import type { Backend, ExpertShape, KeptEnds, ModelShape } from "../backend/backend.ts";
import { ALLOWED_ERROR } from "../backend/backend-kind.ts";
import { createReferenceBackend } from "../backend/reference/reference-backend.ts";
import { withAllPages } from "../backend/with-all-pages.ts";
import { BackendError } from "../base/errors.ts";
import { openFileFolder } from "../node/file-folder.ts";
import { createWasmHost } from "../node/wasm-host.ts";
import { openEngineWith } from "../open.ts";
import { EXPERTS, FAMILY_TEST_CAPACITY, FAMILY_TEST_MODEL, runFamilyTest } from "./family-test.ts";
import { runSelfTest, SELF_TEST_CAPACITY, SELF_TEST_MODEL } from "./self-test.ts";
import { layersFor, referenceFor } from "./test-candidate.ts";

const { gpu } = await webgpuForTests();

/** SwiftShader compiles the kernels for 10 s of a core, which it may have to share. */
const COMPILING_MS = 300_000;

/** Ops that a test finds wrong. */
async function wrongOps(tested: Backend): Promise<readonly string[]> {
  const rows = await runSelfTest(tested, await referenceFor(tested), ALLOWED_ERROR[tested.cacheDtype]);
  expect(rows).toHaveLength(21);
  return rows.filter(({ isRight }) => !isRight).map(({ op }) => op);
}

/** WebGPU runs it on itself whenever an engine opens it, and in test/webgpu/kinds.test.ts. */
test.each(BACKENDS_AND_ROUNDED.filter(({ name }) => !name.startsWith("webgpu")))(
  "$name: every op within its bound, every choice the same",
  async ({ open }) => {
    const backend = await open(SELF_TEST_MODEL, SELF_TEST_CAPACITY);
    expect(await wrongOps(backend)).toEqual([]);
    await backend.close();
  },
  COMPILING_MS,
);

/** A backend on which one call is made otherwise. */
function broken<K extends keyof Backend>(backend: Backend, name: K, instead: Backend[K]): Backend {
  return new Proxy(backend, {
    get(target, key) {
      if (key === name) return instead;
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

describe("a wrong op is found where it arises", async () => {
  const right = await withAllPages(createReferenceBackend)(SELF_TEST_MODEL, SELF_TEST_CAPACITY);
  const half = (ends: KeptEnds): KeptEnds => ({ sinks: ends.sinks - 1, recent: ends.recent + 1 });
  it.each<[string, Backend, readonly string[]]>([
    ["embed", broken(right, "embed", () => {}), ["embed, chunk", "embed, decode"]],
    [
      "sparse attention to everything",
      broken(right, "attendSelected", (layer, range, query, _selection, output) =>
        right.attendAll(layer, range, query, output),
      ),
      ["attendSelected"],
    ],
    [
      "a feed-forward of the wrong residual",
      broken(right, "advance", (from, next, tensors) => {
        right.advance(from, undefined, tensors);
        right.feedForward(from.feedForward, tensors.x);
        if (next) right.attentionInput(next.layer, next.weights, tensors.x, tensors.query);
      }),
      ["advance, chunk", "advance, decode", "a layer at once", "the next layer's queries"],
    ],
    [
      "a selection by other ends",
      broken(right, "mergeByRank", (range, scores, ends, out) =>
        right.mergeByRank(range, scores, { sinks: ends.sinks, recent: 40 }, out),
      ),
      ["mergeByRank"],
    ],
    [
      "a window too long by one",
      broken(right, "expandSelection", (range, set, ends, out) =>
        right.expandSelection(range, set, half(ends), out),
      ),
      ["expandSelection"],
    ],
    [
      "scores of other tokens than the candidates",
      broken(right, "selectedScores", (layer, range, query, _candidates, out) =>
        right.scores(layer, range, query, out),
      ),
      ["selectedScores"],
    ],
    [
      "maxima in place of softmax means",
      broken(right, "poolScores", (range, scores, _how, out) => right.poolScores(range, scores, "max", out)),
      ["poolScores"],
    ],
    [
      "heads that keep their own sets",
      broken(right, "mapHeads", (range, selection, _map, out) =>
        right.mapHeads(range, selection, [0, 1], out),
      ),
      ["mapHeads"],
    ],
    [
      "draws that ignore the seed",
      broken(right, "sample", (logits, rows) =>
        right.sample(
          logits,
          rows.map((row) => ({ ...row, sampleIndex: row.sampleIndex + 1 })),
        ),
      ),
      ["sample, drawn"],
    ],
  ])("%s", async (_, backend, expected) => {
    expect(await wrongOps(backend)).toEqual(expected);
  });
});

describe("the layer of families", () => {
  async function wrongFamilyOps(tested: Backend): Promise<readonly string[]> {
    const reference = await referenceFor(tested, "families");
    const rows = await runFamilyTest(tested, reference, ALLOWED_ERROR[tested.cacheDtype]);
    expect(rows).toHaveLength(4);
    return rows.filter(({ isRight }) => !isRight).map(({ op }) => op);
  }

  test.each(BACKENDS_AND_ROUNDED)(
    "$name: every op within its bound",
    async ({ open }) => {
      const backend = await open(FAMILY_TEST_MODEL, FAMILY_TEST_CAPACITY);
      expect(await wrongFamilyOps(backend)).toEqual([]);
      await backend.close();
    },
    COMPILING_MS,
  );

  const openOther = (model: Partial<ModelShape>) =>
    withAllPages(createReferenceBackend)({ ...FAMILY_TEST_MODEL, ...model }, FAMILY_TEST_CAPACITY);
  const experts = (change: Partial<ExpertShape>) => openOther({ experts: { ...EXPERTS, ...change } });
  const both = ["chunk", "decode"];
  it.each<[string, () => Promise<Backend>, readonly string[]]>([
    [
      "SiLU in place of GELU",
      () => openOther({ activation: "silu" }),
      both.flatMap((step) => [`GELU, output norms, ${step}`, `experts, ${step}`]),
    ],
    ["one expert too few", () => experts({ topExperts: 1 }), both.map((step) => `experts, ${step}`)],
    [
      "weights of experts that do not sum to 1",
      () => experts({ isNormalised: false }),
      both.map((step) => `experts, ${step}`),
    ],
    [
      "no output norms",
      async () => {
        const right = await openOther({});
        return broken(right, "advance", (from, next, tensors) => {
          const { outputNorm, ...output } = from.output;
          right.advance({ ...from, output }, next, tensors);
        });
      },
      both.map((step) => `GELU, output norms, ${step}`),
    ],
  ])("finds %s", async (_, open, expected) => {
    expect(await wrongFamilyOps(await open())).toEqual(expected);
  });

  it("is far from another choice of experts: x that is off by 1 % moves results by little", async () => {
    const right = await openOther({});
    const shaken = broken(right, "write", (ref, data) =>
      right.write(ref, data instanceof Float32Array ? data.map((x, i) => x * (1 + (i % 3) / 100)) : data),
    );
    const rows = await runFamilyTest(shaken, await referenceFor(right, "families"), 0.05);
    expect(rows.filter(({ isRight }) => !isRight)).toEqual([]);
  });

  it("is run for the models that need it", () => {
    expect(layersFor(SELF_TEST_MODEL)).toEqual(["decoder"]);
    expect(layersFor({ ...SELF_TEST_MODEL, activation: "gelu_tanh" })).toEqual(["decoder", "families"]);
    expect(layersFor({ ...SELF_TEST_MODEL, experts: EXPERTS })).toEqual(["decoder", "families"]);
  });
});

it.skipIf(gpu === undefined)(
  "a GPU that computes GELU wrongly is refused for a model that has it",
  async () => {
    const on = countedGpu(gpu as GPU, { rewriteShader: (code) => code.replaceAll("0.044715f", "0.5f") });
    const folder = await openFileFolder("test/golden/hf/gemma3-local");
    const host = { folder, wasm: createWasmHost(), openGpu: async () => on.gpu };
    await expect(openEngineWith(host, { backend: "webgpu" })).rejects.toThrow(
      /^opening webgpu: the self-test of .+ failed at GELU, output norms, chunk: error 0\.\d+, allowed 0\.005; update/,
    );
    for (const counts of on.counts) expect(counts).toMatchObject({ buffers: 0, destroyed: true });
  },
  COMPILING_MS,
);

it.skipIf(gpu === undefined)(
  "a GPU that computes wrongly is a BackendError at open, with op, error and adapter",
  async () => {
    const on = countedGpu(gpu as GPU, { rewriteShader: (code) => code.replaceAll("exp(", "exp2(") });
    const folder = await openFileFolder(TINY_MODEL);
    const opening = openEngineWith(
      { folder, wasm: createWasmHost(), openGpu: async () => on.gpu },
      { backend: "webgpu" },
    );
    await expect(opening).rejects.toThrow(BackendError);
    await expect(opening).rejects.toThrow(
      /^opening webgpu: the self-test of .+ failed at attendAll, chunk: error 0\.\d+, allowed 0\.005; update the GPU's driver/,
    );
    for (const counts of on.counts) expect(counts).toMatchObject({ buffers: 0, destroyed: true });
  },
  COMPILING_MS,
);
