import { afterEach, describe, expect, test, vi } from "vitest";
import { sizesOf } from "../../test/sizes.ts";
import { wasmFactory } from "../backend/wasm/open-wasm.ts";
import { BackendError } from "../base/errors.ts";
import { createWasmHost } from "./wasm-host.ts";

const SIZES = {
  numLayers: 1,
  hiddenSize: 8,
  intermediateSize: 8,
  numQueryHeads: 1,
  numKvHeads: 1,
  headDim: 8,
  vocabSize: 8,
  rmsNormEps: 1e-6,
  pageSize: 16,
  maxPages: 1,
  maxSequenceLength: 16,
  maxBatchRows: 1,
  maxBatchSequences: 1,
};

afterEach(() => vi.unstubAllGlobals());

async function describeBackend(threads?: number): Promise<string> {
  const backend = await wasmFactory(
    createWasmHost(),
    threads === undefined ? {} : { threads, simd: "simd" },
  )(...sizesOf(SIZES));
  await backend.close();
  return backend.report().description;
}

describe("threads", () => {
  test("use all cores, with relaxed SIMD, on an isolated page", async () => {
    expect(crossOriginIsolated).toBe(true);
    const { hardwareConcurrency: cores } = navigator;
    expect(await describeBackend()).toBe(`WebAssembly, relaxed SIMD, ${cores} thread${cores > 1 ? "s" : ""}`);
    expect(await describeBackend(2)).toBe("WebAssembly, SIMD, 2 threads");
  });

  test("are limited to one on other pages, with the reason; a request for more is a BackendError", async () => {
    vi.stubGlobal("crossOriginIsolated", false);
    expect(await describeBackend()).toMatch(/1 thread \(.*Cross-Origin-Opener-Policy: same-origin/);
    expect(await describeBackend(1)).toBe("WebAssembly, SIMD, 1 thread");
    await expect(describeBackend(2)).rejects.toThrow(BackendError);
    await expect(describeBackend(2)).rejects.toThrow("asked for 2 threads and can have one: the page is not");
  });

  test("report a failure once, with its error", async () => {
    const { startWorker } = createWasmHost();
    if (!startWorker) throw new Error("an isolated page starts workers");
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
    const module = new WebAssembly.Module(Uint8Array.from([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]));
    const started = startWorker('onmessage = ({ data }) => { throw new Error("lost " + data.index); }', {
      module,
      memory,
      index: 3,
    });
    const failure = await new Promise((resolve) => started.onFailure(resolve));
    expect(String(failure)).toContain("lost 3");
    await started.terminate();
  });
});

describe("kernels", () => {
  test.each([
    "/wasm",
    "/wasm/",
    new URL("/wasm", location.href),
  ])("load from the folder %s", async (folder) => {
    const bytes = await createWasmHost(folder).loadModule("simd-single");
    expect(WebAssembly.validate(bytes)).toBe(true);
  });

  test("that are missing cause a BackendError with address, status and remedy", async () => {
    const loading = createWasmHost("/nowhere").loadModule("simd-single");
    await expect(loading).rejects.toThrow(BackendError);
    await expect(loading).rejects.toThrow(
      /\/nowhere\/simd-single\.wasm: the server answered 404;.*`wasmFolder`/,
    );
  });

  test("replaced by a start page cause a BackendError, not a compile error", async () => {
    const headers = { "content-type": "text/html" };
    vi.stubGlobal("fetch", async () => new Response("<!doctype html>", { headers }));
    const loading = createWasmHost().loadModule("simd-threads");
    await expect(loading).rejects.toThrow(BackendError);
    await expect(loading).rejects.toThrow("expected a WebAssembly module, got text/html");
  });

  test("of an unreachable server cause a BackendError", async () => {
    const loading = createWasmHost("http://127.0.0.1:1/wasm").loadModule("simd-single");
    await expect(loading).rejects.toThrow(BackendError);
    await expect(loading).rejects.toThrow("fetching the kernels http://127.0.0.1:1/wasm/simd-single.wasm");
  });
});
