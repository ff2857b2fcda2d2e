/** The GPU of a run, and what rounding explains on it. */

import type { CacheDtype } from "../../src/backend/backend.ts";
import { adapterTraits, requestWebGpuDevice, webGpuFactory } from "../../src/backend/webgpu/open-webgpu.ts";
import { withAllPages } from "../../src/backend/with-all-pages.ts";
import { BackendError } from "../../src/base/errors.ts";
import { openDawn } from "../../src/node/dawn.ts";
import type { OpenForTests } from "../conformance/backend-table.ts";
import type { GpuRows } from "./rows.ts";

export interface GpuRun {
  readonly rows: GpuRows;
  readonly adapter: GPUAdapter;
  /** Sizes to try the script out with, on a software adapter. */
  readonly isQuick: boolean;
  readonly openOn: (cacheDtype: CacheDtype) => OpenForTests;
  /** Products of 16-bit weights of more than four rows run on subgroup matrices. */
  readonly hasSubgroupMatrices: boolean;
  readonly close: () => void;
}

/** f32 sums of up to some thousand numbers; exp and division of a GPU are off by a few units of their last place. */
export const F32_NMSE = 1e-10;
/** Few rows of activations beside quantised weights are rounded to integers of 16 bits with a scale for 32 of them. */
export const QUANTISED_NMSE = 1e-8;
/**
 * Brute force rounds keys and values as the cache does. Where they lie in the middle between two numbers of f16, one in some
 * thousand, a side takes the one and the other the other: an NMSE of 1e-10 of many numbers, 2e-8 of a head of one row.
 */
export const F16_CACHE_NMSE = 1e-7;
/**
 * In a q8 cache a number beside the middle between two steps is off by a 127th of the largest one of its row. Few are, but one of
 * the 64 numbers of a single token's value is 6e-6.
 */
export const Q8_CACHE_NMSE = 2e-5;
/** By the cache, in which keys and values of brute force are rounded likewise. */
export const CACHE_NMSE: Readonly<Record<CacheDtype, number>> = {
  f32: F32_NMSE,
  f16: F16_CACHE_NMSE,
  q8: Q8_CACHE_NMSE,
};
/** Caches that a run tests. */
export function testedCaches({ isQuick }: GpuRun): readonly CacheDtype[] {
  return isQuick ? ["f16", "q8"] : ["f16", "f32", "q8"];
}
/**
 * Subgroup matrices take x, queries and softmax weights rounded to f16, so that what they give is rounded twice and three
 * times by 2^-12 on average: NMSE of 2e-7, times the square of the scores' spread. To lose one key of 9000 costs 1e-4.
 */
export const SUBGROUP_MATRIX_NMSE = 2e-5;

export async function openGpuRun(rows: GpuRows, isQuick: boolean): Promise<GpuRun> {
  const gpu = await openDawn();
  const adapter = await gpu.requestAdapter({ powerPreference: "high-performance" });
  const reported = await gpu.requestAdapter({ powerPreference: "high-performance" });
  if (!adapter || !reported)
    throw new BackendError("testing a GPU: WebGPU offers no adapter; check the GPU's driver");
  const hasSubgroupMatrices = adapterTraits(adapter).subgroupMatrix !== undefined;
  const device = await requestWebGpuDevice(adapter);
  return {
    rows,
    adapter: reported,
    isQuick,
    openOn: (cacheDtype) => withAllPages(webGpuFactory(adapter, { cacheDtype, device })),
    hasSubgroupMatrices,
    close: () => device.destroy(),
  };
}
