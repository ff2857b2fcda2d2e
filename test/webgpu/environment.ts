/** The WebGPU that tests run on: the machine's GPU, else SwiftShader. */

import { prepareVulkan } from "../../scripts/swiftshader.mjs";
import { openDawn } from "../../src/node/dawn.ts";

/** What tests get: a GPU with at least one adapter, or the reason why there is none. */
export type TestGpu =
  | { readonly gpu: GPU; readonly reason?: undefined }
  | { readonly gpu?: undefined; readonly reason: string };

let found: Promise<TestGpu> | undefined;

/**
 * Finds WebGPU once a process. Tests skip with `reason`, which is printed here.
 * @throws Error instead, where LESSISMORE_REQUIRE_WEBGPU=1 (.ci/run) says that a skip is a failure
 */
export function webgpuForTests(): Promise<TestGpu> {
  found ??= findGpu();
  return found;
}

async function findGpu(): Promise<TestGpu> {
  const missing = prepareVulkan();
  if (missing !== undefined) return without(missing);
  try {
    const gpu = await openDawn();
    if (await gpu.requestAdapter()) return { gpu };
    return without("Dawn found no adapter that it can use");
  } catch (error) {
    return without(error instanceof Error ? error.message : String(error));
  }
}

function without(reason: string): TestGpu {
  if (process.env.LESSISMORE_REQUIRE_WEBGPU === "1")
    throw new Error(`LESSISMORE_REQUIRE_WEBGPU=1 and no WebGPU to test on: ${reason}`);
  console.warn(`WebGPU tests are skipped: ${reason}`);
  return { reason };
}
