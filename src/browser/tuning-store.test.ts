import { afterEach, expect, test, vi } from "vitest";
import { sizesOf } from "../../test/sizes.ts";
import { wasmFactory } from "../backend/wasm/open-wasm.ts";
import { createTuningStore } from "./tuning-store.ts";
import { createWasmHost } from "./wasm-host.ts";

afterEach(() => vi.unstubAllGlobals());

test("a page stores and loads values under any key", async () => {
  const store = createTuningStore();
  if (!store) throw new Error("a secure page has the Cache API");
  const key = `a key | with "signs" & spaces ${Math.random()}`;
  expect(await store.read(key)).toBeUndefined();
  await store.write(key, "1");
  await store.write(key, "2");
  expect(await store.read(key)).toBe("2");
  expect(store.machine).toContain(navigator.userAgent);
});

test("a page without the Cache API has no store, and backends open without it", async () => {
  vi.stubGlobal("caches", undefined);
  expect(createTuningStore()).toBeUndefined();
  const sizes = sizesOf({
    ...{ numLayers: 1, hiddenSize: 8, intermediateSize: 8, numQueryHeads: 1, numKvHeads: 1, headDim: 8 },
    ...{ vocabSize: 8, rmsNormEps: 1e-6, pageSize: 16, maxPages: 1, maxSequenceLength: 16 },
    ...{ maxBatchRows: 1, maxBatchSequences: 1 },
  });
  const backend = await wasmFactory(createWasmHost(), { threads: 1 })(...sizes);
  await backend.close();
  expect(backend.report().tuning?.from).toMatch(/measured|default/);
});
