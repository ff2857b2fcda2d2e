/** Choosing the sizes of kernels on a GPU, and opening a backend with what was kept. */
import { describe, expect, it } from "vitest";
import type { TuningStore } from "../../src/backend/tuning-store.ts";
import { keepTuning, tuningKeyOf } from "../../src/backend/webgpu/kept-tuning.ts";
import { adapterTraits } from "../../src/backend/webgpu/open-webgpu.ts";
import { webGpuCandidate } from "../../src/backend/webgpu/webgpu-kind.ts";
import { testCandidate } from "../../src/machine/test-candidate.ts";
import { tuneGpu } from "../../src/machine/tune-gpu.ts";
import { sizesOf } from "../sizes.ts";
import { webgpuForTests } from "./environment.ts";

const { gpu } = await webgpuForTests();

function memoryStore(): TuningStore & { readonly texts: Map<string, string> } {
  const texts = new Map<string, string>();
  return {
    ...{ machine: "a test", texts },
    read: async (key) => texts.get(key),
    write: async (key, text) => void texts.set(key, text),
  };
}

async function adapterOf(): Promise<GPUAdapter> {
  const adapter = await gpu?.requestAdapter();
  if (!adapter) throw new Error("the GPU gave no adapter");
  return adapter;
}

describe.skipIf(!gpu)("tuning a GPU", () => {
  it("times variants, and keeps what it chose for backends opened later", async () => {
    const store = memoryStore();
    const tuning = await tuneGpu(await adapterOf(), { store });
    expect(tuning.tried).toBeGreaterThan(0);
    expect(tuning.from).toBe("measured");
    expect(Object.keys(tuning.times)).toEqual(["step", "sparse step", "batch", "prefill"]);
    expect(store.texts.size).toBe(1);
    const candidate = webGpuCandidate(await adapterOf(), store, { tunings: store });
    const backend = await candidate.open(...sizesOf());
    expect(backend.report().tuning).toEqual({ from: "kept", choices: tuning.choices });
    await backend.close();
  }, 300_000);

  it("begins no variant once its time is over, and says where it ended", async () => {
    const tuning = await tuneGpu(await adapterOf(), { limitMs: 0 });
    expect(tuning).toMatchObject({
      tried: 0,
      choices: {},
      note: "after 0 s nothing past matvecLanes was timed",
    });
  }, 300_000);

  it("leaves what kernels compute as it is", async () => {
    const store = memoryStore();
    const adapter = await adapterOf();
    const key = tuningKeyOf(adapter.info, adapterTraits(adapter));
    await keepTuning(store, key, { attendTokens: 1, matvecLoads: 8, selectFours: 2 });
    const { rows } = await testCandidate(webGpuCandidate(adapter, store, { tunings: store }), "decoder");
    expect(rows.filter(({ isRight }) => !isRight)).toEqual([]);
  }, 300_000);
});
