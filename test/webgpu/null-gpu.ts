import { inject } from "vitest";
import type { TestGpu } from "./environment.ts";

/** Collecting a GPU object while its devices are in use takes the instance from under them. */
const kept = new Set<GPU>();

/** Dawn's null backend: all the checks, no driver and no device. The reason, where the package is not installed. */
export async function openNullGpu(): Promise<TestGpu> {
  try {
    const { create } = await import("webgpu");
    const gpu = create(["backend=null", "enable-dawn-features=allow_unsafe_apis"]);
    kept.add(gpu);
    return { gpu };
  } catch (error) {
    if (inject("requiresWebGpu")) throw error;
    return { reason: String(error) };
  }
}
