import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { BackendError } from "./base/errors.ts";
import { fitFolder } from "./model-fits.ts";
import { openFileFolder } from "./node/index.ts";
import { createWasmHost } from "./node/wasm-host.ts";

test("a model's fit says the precision, the context and the memory of each backend, or the reason against it", async () => {
  const folder = await openFileFolder(fileURLToPath(new URL("../models/pico-reasoner", import.meta.url)));
  const openGpu = async () => {
    throw new BackendError("no driver here");
  };
  const fits = await fitFolder({ folder, wasm: createWasmHost(), openGpu });
  expect(fits).toHaveLength(2);
  expect(fits[0]).toEqual({ backend: "webgpu", problem: "no driver here" });
  expect(fits[1]).toMatchObject({ backend: "wasm", dtype: "own", contextLength: 8192 });
  // 8.3 million weights in bf16; keys and values of 10 layers × 2 heads × 64 in f32
  const { memory } = fits[1] as Extract<(typeof fits)[number], { readonly memory: object }>;
  expect(memory.weightBytes).toBeGreaterThan(16.6e6);
  expect(memory.weightBytes).toBeLessThan(16.8e6);
  expect(memory.totalBytes).toBe(memory.weightBytes + memory.cacheBytes + memory.workBytes);
});
