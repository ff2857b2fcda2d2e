/** WebGPU for tests: the machine's GPU, else SwiftShader. */
import { inject } from "vitest";
import { place } from "../place/here.ts";

/**
 * Backends that suites take. "all": those of `npm test`, WebGPU with the cache that is the default. "cpu": all but WebGPU,
 * for the quick loop. "wasm": what a JavaScript engine may compute otherwise. "webgpu, f32 cache": for test:system.
 */
export type TestedBackends = "all" | "cpu" | "wasm" | "webgpu, f32 cache";

declare module "vitest" {
  interface ProvidedContext {
    /** True if missing WebGPU is a failure instead of a skip. */
    readonly requiresWebGpu: boolean;
    readonly backends: TestedBackends;
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
  const backends = inject("backends");
  if (backends === "cpu" || backends === "wasm") return { reason: `this suite takes ${backends} alone` };
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
