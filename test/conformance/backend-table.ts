import type { BackendFactory } from "../../src/backend/backend.ts";
import { createReferenceBackend } from "../../src/backend/reference/reference-backend.ts";
import { isSoftwareAdapter } from "../../src/backend/software-adapter.ts";
import { openWasmBackend, type WasmOptions } from "../../src/backend/wasm/open-wasm.ts";
import type { CacheDtype } from "../../src/backend/webgpu/context.ts";
import {
  openWebGpuBackend,
  requestWebGpuDevice,
  type WebGpuOptions,
} from "../../src/backend/webgpu/open-webgpu.ts";
import { place } from "../place/here.ts";
import { webgpuForTests } from "../webgpu/environment.ts";

export interface BackendRow {
  readonly name: string;
  readonly open: BackendFactory;
  /** How it keeps keys and values, and with that what brute force compares with. Default f32. */
  readonly cacheDtype?: CacheDtype;
  /** A GPU emulated on the CPU, or the same kernels built again: suites run a cross-section of their cases on it. */
  readonly isSlow?: boolean;
}

const { gpu } = await webgpuForTests();

/** One device for all tests of a file: kernels are compiled once. */
async function openWebGpu(options: WebGpuOptions): Promise<BackendFactory> {
  const adapter = await gpu?.requestAdapter();
  if (!adapter) throw new Error("WebGPU had an adapter and has none now");
  const device = await requestWebGpuDevice(adapter);
  return (shape) => openWebGpuBackend(shape, adapter, { ...options, device });
}

const adapter = await gpu?.requestAdapter();
const isSlow = adapter !== null && adapter !== undefined && isSoftwareAdapter(adapter.info);

function openWasm(options: WasmOptions): BackendFactory {
  return (shape) => openWasmBackend(shape, place.createWasmHost(), options);
}

/** WebGPU with workgroups that wait for one another: on an emulated GPU it is slow, and off. */
export async function chainedWebGpu(): Promise<readonly BackendRow[]> {
  if (!gpu) return [];
  const open = await openWebGpu({ cacheDtype: "f16", traits: { forwardProgress: "ticketed" } });
  return [{ name: "webgpu, chained", open, cacheDtype: "f16", isSlow }];
}

/** Every backend the conformance suites run on; one more row is one more backend. */
export const BACKENDS: readonly BackendRow[] = [
  // plain loops are the same in a browser
  ...(place.name === "Node" ? [{ name: "reference", open: createReferenceBackend }] : []),
  { name: "wasm, 1 thread", open: openWasm({ threads: 1, simd: "simd" }) },
  { name: "wasm, 2 threads", open: openWasm({ threads: 2, simd: "simd" }) },
  { name: "wasm, relaxed SIMD", open: openWasm({ threads: 2, simd: "relaxed" }), isSlow: true },
  ...(gpu
    ? [{ name: "webgpu", open: await openWebGpu({ cacheDtype: "f16" }), cacheDtype: "f16", isSlow } as const]
    : []),
];

/**
 * The error that suites allow. An f16 cache is compared with brute force that rounds keys and values as the cache does; where
 * an f32 sum lies beside the middle between two numbers of f16, which one in some 4000 does, one side takes the one and the
 * other side the other: NMSE of (2^-11)² / 12 / 4000 of them all, 5e-12, and some ten times that of few.
 */
export function allowedNmse(bound: number, cacheDtype?: CacheDtype): number {
  return cacheDtype === "f16" ? Math.max(bound, 1e-9) : bound;
}
