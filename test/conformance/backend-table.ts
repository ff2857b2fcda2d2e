import { inject } from "vitest";
import type { CacheDtype, Capacity, ModelShape } from "../../src/backend/backend.ts";
import { createReferenceBackend } from "../../src/backend/reference/reference-backend.ts";
import { isSoftwareAdapter } from "../../src/backend/software-adapter.ts";
import { type WasmOptions, wasmFactory } from "../../src/backend/wasm/open-wasm.ts";
import {
  requestWebGpuDevice,
  type WebGpuOptions,
  webGpuFactory,
} from "../../src/backend/webgpu/open-webgpu.ts";
import { withAllPages } from "../../src/backend/with-all-pages.ts";
import { place } from "../place/here.ts";
import { type TestedBackends, webgpuForTests } from "../webgpu/environment.ts";
import type { TrialBackend } from "./trial.ts";

export type OpenForTests = (model: ModelShape, capacity: Capacity) => Promise<TrialBackend>;

export interface BackendRow {
  readonly name: string;
  readonly open: OpenForTests;
  /** Storage type of keys and values; brute force rounds likewise. Default f32. */
  readonly cacheDtype?: CacheDtype;
  /**
   * Share of their cases that suites run. "few": the fewest that run every kernel, for SwiftShader, which compiles each for a
   * tenth of a second or more, and for the quick loop. "some": more shapes and lengths, and for kernels that another row has run in full.
   * Default: all.
   */
  readonly cases?: "few" | "some";
}

const { gpu } = await webgpuForTests();

/** One device for all tests of a file: kernels are compiled once. */
async function openWebGpu(options: WebGpuOptions): Promise<OpenForTests> {
  const adapter = await gpu?.requestAdapter();
  if (!adapter) throw new Error("WebGPU had an adapter and has none now");
  const device = await requestWebGpuDevice(adapter);
  return withAllPages(webGpuFactory(adapter, { ...options, device }));
}

const adapter = await gpu?.requestAdapter();
const isSoftware = adapter !== null && adapter !== undefined && isSoftwareAdapter(adapter.info);

async function webGpuRow(
  name: string,
  cacheDtype: CacheDtype,
  options: WebGpuOptions = {},
): Promise<BackendRow> {
  const open = await openWebGpu({ cacheDtype, ...options });
  if (!isSoftware) return { name, open, cacheDtype };
  return { name, open, cacheDtype, cases: cacheDtype === "f32" ? "some" : "few" };
}

function wasmRow(name: string, options: WasmOptions): BackendRow {
  const open = withAllPages(wasmFactory(place.createWasmHost(), options));
  return { name, open, ...(options.cacheDtype && { cacheDtype: options.cacheDtype }) };
}

function referenceRow(cacheDtype: CacheDtype): BackendRow {
  const open: OpenForTests = withAllPages((model, capacity) =>
    createReferenceBackend(model, capacity, cacheDtype),
  );
  return { name: `reference, ${cacheDtype} cache`, open, cacheDtype, cases: "few" };
}

/** The default cache wherever all backends are tested; the other one where WebGPU is tested at greater length. */
const CACHE: Readonly<Record<TestedBackends, CacheDtype | undefined>> = {
  all: "f16",
  "webgpu, f32 cache": "f32",
  cpu: undefined,
  wasm: undefined,
};
const tested = inject("backends");
const cache = gpu && CACHE[tested];

/** WebGPU with the persistent layer kernel, which software adapters run slowly and leave out. */
export async function webGpuWithLayerKernel(): Promise<readonly BackendRow[]> {
  if (!cache) return [];
  const options = { traits: { forwardProgress: "ticketed" } } as const;
  return [
    await webGpuRow("webgpu, layer kernel", cache, options),
    await webGpuRow("webgpu, layer kernel, q8 cache", "q8", options),
  ];
}

/** Every backend the conformance suites run on; one more row is one more backend. */
const ALL_BACKENDS: readonly BackendRow[] = [
  // plain loops are the same in a browser, and on any engine
  ...(place.name === "Node" && (tested === "all" || tested === "cpu")
    ? [{ name: "reference", open: withAllPages(createReferenceBackend) }]
    : []),
  ...(tested === "webgpu, f32 cache"
    ? []
    : [
        wasmRow("wasm, 1 thread", { threads: 1, simd: "simd" }),
        wasmRow("wasm, 2 threads", { threads: 2, simd: "simd" }),
        { ...wasmRow("wasm, relaxed SIMD", { threads: 2, simd: "relaxed" }), cases: "some" } as const,
      ]),
  ...(cache ? [await webGpuRow(`webgpu, ${cache} cache`, cache)] : []),
];

/** The CPU backends with a cache that rounds. */
const ROUNDED_BACKENDS: readonly BackendRow[] = [
  ...(place.name === "Node" && (tested === "all" || tested === "cpu")
    ? [referenceRow("q8"), referenceRow("f16")]
    : []),
  ...(tested === "webgpu, f32 cache"
    ? []
    : [
        {
          ...wasmRow("wasm, q8 cache", { threads: 2, simd: "simd", cacheDtype: "q8" }),
          cases: "some",
        } as const,
      ]),
];

/** The quick loop runs few cases of each. */
const casesOf = (rows: readonly BackendRow[]): readonly BackendRow[] =>
  tested === "cpu" ? rows.map((row) => ({ ...row, cases: "few" })) : rows;

/** Rows of the suites that have nothing to do with the cache. */
export const BACKENDS = casesOf(ALL_BACKENDS);

/** Rows of the suites in which keys and values pass the cache. */
export const BACKENDS_AND_ROUNDED = casesOf([...ALL_BACKENDS, ...ROUNDED_BACKENDS]);

/** Rows of the suites of the cache and of attention. The others see nothing of how WebGPU stores int8. */
export const CACHE_BACKENDS: readonly BackendRow[] = [
  ...BACKENDS_AND_ROUNDED,
  ...(cache ? [await webGpuRow("webgpu, q8 cache", "q8")] : []),
];
