import { expect, test } from "vitest";
import { BackendError, ConfigError } from "../base/errors.ts";
import { createWasmHost } from "../node/wasm-host.ts";
import { BACKEND_CHOICES, BACKENDS, type BackendChoice } from "./backends.ts";
import { chooseKind } from "./choose-backend.ts";

/** A place whose WebGPU opens as told. */
function host(openGpu: () => Promise<GPU>) {
  return { wasm: createWasmHost(), openGpu };
}

const noGpu = host(async () => {
  throw new BackendError("no driver");
});

/** A GPU that gives an adapter of this description, and no device. */
function gpuOf(description: string): GPU {
  const info = { vendor: "acme", architecture: "one", device: "", description };
  const adapter = { info, features: new Set(), limits: {} };
  return { requestAdapter: async () => adapter } as unknown as GPU;
}

test("every name that may be asked for is a row, once, and every row has a name", () => {
  expect(["auto", ...BACKENDS.map(({ name }) => name)]).toEqual([...BACKEND_CHOICES]);
});

test.each([
  ["no driver", noGpu, "wasm", "auto: no GPU (no driver)"],
  [
    "only a software adapter",
    host(async () => gpuOf("llvmpipe (LLVM 15)")),
    "wasm",
    "auto: the only WebGPU adapter computes on the CPU",
  ],
  ["a real GPU", host(async () => gpuOf("Acme One")), "webgpu", "auto: a GPU is there"],
])("auto with %s: the first backend that is wanted, with the reason", async (_, place, name, why) => {
  const chosen = await chooseKind(place, {});
  expect([chosen.kind.name, chosen.why]).toEqual([name, why]);
});

test("a backend that is asked for is taken though auto would not", async () => {
  const software = host(async () => gpuOf("llvmpipe (LLVM 15)"));
  for (const backend of ["webgpu", "wasm", "reference"] as const) {
    const { kind, why } = await chooseKind(software, { backend });
    expect([kind.name, why]).toEqual([backend, "asked for"]);
  }
});

test("nothing falls back from a backend that is asked for, or from a GPU whose failure nobody expects", async () => {
  await expect(chooseKind(noGpu, { backend: "webgpu" })).rejects.toThrow("no driver");
  const broken = host(async () => {
    throw new RangeError("a bug");
  });
  await expect(chooseKind(broken, {})).rejects.toThrow(RangeError);
});

test("an unknown name is a ConfigError that lists the known ones", async () => {
  const choosing = chooseKind(noGpu, { backend: "cuda" as BackendChoice });
  await expect(choosing).rejects.toThrow(ConfigError);
  await expect(choosing).rejects.toThrow('unknown backend "cuda"; known are auto, webgpu, wasm, reference');
});

test("a GPU names itself to the self-test by its source, its adapter and the dtype of its cache; the CPU is not tested", async () => {
  const openGpu = async () => gpuOf("Acme One");
  const { candidate } = await chooseKind(host(openGpu), {});
  expect(candidate.tested).toEqual({ name: "Acme One", source: openGpu, key: "acme|one||Acme One|f16" });
  expect((await chooseKind(noGpu, {})).candidate.tested).toBeUndefined();
});
