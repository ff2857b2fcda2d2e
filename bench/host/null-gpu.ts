/**
 * Dawn's null device: it takes every command as a GPU's driver would and runs none of them, so that whatever time a step takes is
 * the host's. It has the minimum limits of WebGPU; kernels are those of a GPU with subgroups of 32.
 */
import { BackendError } from "../../src/node/internal.ts";
import type { BenchGpu } from "../webgpu/gpu.ts";

/** Traits of a real GPU, as far as the null device allows. */
export const NULL_TRAITS = { minSubgroupSize: 32, maxSubgroupSize: 32, isSoftware: false } as const;

/** Dawn destroys the instance when a `GPU` object is garbage-collected, even with devices in use. */
const kept = new Set<GPU>();

/** @throws BackendError if the package webgpu does not load */
export async function openNullGpu(): Promise<BenchGpu> {
  const gpu = await createNullGpu();
  kept.add(gpu);
  return {
    name: "Dawn's null device",
    adapter: async () => {
      const adapter = await gpu.requestAdapter();
      if (!adapter)
        throw new BackendError(
          "bench host: Dawn's null backend gave no adapter; reinstall the package webgpu",
        );
      return adapter;
    },
  };
}

async function createNullGpu(): Promise<GPU> {
  try {
    const { create } = await import("webgpu");
    return create(["backend=null", "enable-dawn-features=allow_unsafe_apis"]);
  } catch (cause) {
    throw new BackendError(
      `bench host: the package webgpu did not load: ${cause instanceof Error ? cause.message : String(cause)}; run \`npm install webgpu\``,
      { cause },
    );
  }
}
