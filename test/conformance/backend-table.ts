import type { Capacity, ModelShape } from "../../src/backend/backend.ts";
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
import { webgpuForTests } from "../webgpu/environment.ts";
import type { TrialBackend } from "./trial.ts";

export type OpenForTests = (model: ModelShape, capacity: Capacity) => Promise<TrialBackend>;

export interface BackendRow {
  readonly name: string;
  readonly open: OpenForTests;
  /** A GPU emulated on the CPU, or the same kernels built again: suites run a cross-section of their cases on it. */
  readonly isSlow?: boolean;
}

const { gpu } = await webgpuForTests();

/** One device for all tests of a file: kernels are compiled once. */
async function openWebGpu(options: WebGpuOptions): Promise<OpenForTests> {
  const adapter = await gpu?.requestAdapter();
  if (!adapter) throw new Error("WebGPU had an adapter and has none now");
  const device = await requestWebGpuDevice(adapter);
  return webGpuFactory(adapter, { ...options, device });
}

const adapter = await gpu?.requestAdapter();
const isSlow = adapter !== null && adapter !== undefined && isSoftwareAdapter(adapter.info);

function openWasm(options: WasmOptions): OpenForTests {
  return withAllPages(wasmFactory(place.createWasmHost(), options));
}

/** WebGPU with the persistent layer kernel, which software adapters run slowly and leave out. */
export async function webGpuWithLayerKernel(): Promise<readonly BackendRow[]> {
  if (!gpu) return [];
  const open = await openWebGpu({ cacheDtype: "f32", traits: { forwardProgress: "ticketed" } });
  return [{ name: "webgpu, layer kernel", open, isSlow }];
}

/** Every backend the conformance suites run on; one more row is one more backend. */
export const BACKENDS: readonly BackendRow[] = [
  // plain loops are the same in a browser
  ...(place.name === "Node" ? [{ name: "reference", open: createReferenceBackend }] : []),
  { name: "wasm, 1 thread", open: openWasm({ threads: 1, simd: "simd" }) },
  { name: "wasm, 2 threads", open: openWasm({ threads: 2, simd: "simd" }) },
  { name: "wasm, relaxed SIMD", open: openWasm({ threads: 2, simd: "relaxed" }), isSlow: true },
  ...(gpu ? [{ name: "webgpu", open: await openWebGpu({ cacheDtype: "f32" }), isSlow }] : []),
];
