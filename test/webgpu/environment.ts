/** WebGPU for tests: the machine's GPU, else SwiftShader. */
import { inject } from "vitest";
import { place } from "../place/here.ts";

declare module "vitest" {
  interface ProvidedContext {
    /** True if missing WebGPU is a failure instead of a skip. */
    readonly requiresWebGpu: boolean;
    /** True if only the CPU backends are tested: the second run, on another JavaScript engine. */
    readonly isCpuOnly: boolean;
  }
}

/** A GPU with at least one adapter, or the reason for its absence. */
export type TestGpu =
  | { readonly gpu: GPU; readonly reason?: undefined }
  | { readonly gpu?: undefined; readonly reason: string };

let found: Promise<TestGpu> | undefined;

/**
 * Finds WebGPU once a process, and prints the reason if it is missing; tests then skip.
 * @throws Error instead if LESSISMORE_REQUIRE_WEBGPU=1 (.ci/run) makes a skip a failure
 */
export function webgpuForTests(): Promise<TestGpu> {
  found ??= findGpu();
  return found;
}

async function findGpu(): Promise<TestGpu> {
  if (inject("isCpuOnly")) return { reason: "LESSISMORE_TESTS=cpu" };
  try {
    const gpu = await place.openGpu();
    if (await gpu.requestAdapter()) return { gpu };
    return without("WebGPU offers no adapter that can be used");
  } catch (error) {
    return without(error instanceof Error ? error.message : String(error));
  }
}

function without(reason: string): TestGpu {
  if (inject("requiresWebGpu"))
    throw new Error(`LESSISMORE_REQUIRE_WEBGPU=1 and no WebGPU to test on in ${place.name}: ${reason}`);
  console.warn(`WebGPU tests in ${place.name} are skipped: ${reason}`);
  return { reason };
}
