/** The GPU that benchmarks run on. */

import { adapterName, BackendError, openDawn } from "../../src/node/internal.ts";
import { namedGpu } from "../device.ts";

export interface BenchGpu {
  /** The card and its driver, as WebGPU names them. */
  readonly name: string;
  /** Requests an adapter, which gives one device. */
  readonly adapter: () => Promise<GPUAdapter>;
}

/** @throws BackendError where there is no GPU, with the reason. */
export async function openBenchGpu(): Promise<BenchGpu> {
  const named = await namedGpu();
  const gpu = await (named?.open() ?? openDawn());
  const adapter = async () => {
    const found = await gpu.requestAdapter({ powerPreference: "high-performance" });
    if (!found)
      throw new BackendError(
        "bench on WebGPU: it offers no adapter; check the GPU's driver, or bench another backend",
      );
    // timestamps give GPU time; the host's clock cannot replace them
    if (!found.features.has("timestamp-query"))
      throw new BackendError(
        `bench on WebGPU: ${adapterName(found.info)} has no timestamp-query, which GPU times are taken by; bench another GPU`,
      );
    return found;
  };
  const { info } = await adapter();
  const name =
    named?.label ?? ([info.device, info.description].filter(Boolean).join(", ") || adapterName(info));
  return { name, adapter };
}
