import { afterEach, expect, test, vi } from "vitest";
import { BackendError } from "../base/errors.ts";
import { openNavigatorGpu } from "./gpu.ts";
import { openEngine } from "./index.ts";

afterEach(() => vi.unstubAllGlobals());

test("returns navigator.gpu", async () => {
  expect(await openNavigatorGpu()).toBe(navigator.gpu);
});

test.each([
  [true, "this browser has no navigator.gpu"],
  [false, "serve the page over https"],
])("without navigator.gpu, on a page with isSecureContext %s, it throws a BackendError with the reason", async (isSecure, reason) => {
  vi.stubGlobal("navigator", { hardwareConcurrency: 1 });
  vi.stubGlobal("isSecureContext", isSecure);
  await expect(openNavigatorGpu()).rejects.toThrow(BackendError);
  await expect(openNavigatorGpu()).rejects.toThrow(reason);
  const model = "/models/pico-reasoner";
  await expect(openEngine({ model, backend: "webgpu" })).rejects.toThrow(reason);
  const engine = await openEngine({ model, backend: "auto" });
  const { name, why } = engine.report().backend;
  await engine.close();
  expect(name).toBe("wasm");
  expect(why).toContain(reason);
});
