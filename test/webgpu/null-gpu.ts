import { inject } from "vitest";
import type { TestGpu } from "./environment.ts";

/** Keeps references: Dawn destroys the instance when a `GPU` object is garbage-collected, even with devices in use. */
const kept = new Set<GPU>();

/** Opens Dawn's null backend, which validates without driver or device; or returns why the package does not load. */
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
