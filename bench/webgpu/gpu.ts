/** The GPU of benchmarks. */
import { adapterName, BackendError, openDawn } from "../../src/node/internal.ts";

export interface BenchGpu {
  /** The card and its driver, as far as WebGPU reports them. */
  readonly name: string;
  /** Requests an adapter for one device. Each device needs its own adapter. */
  readonly adapter: () => Promise<GPUAdapter>;
}

/** @throws BackendError with the reason if the machine has no GPU */
export async function openBenchGpu(): Promise<BenchGpu> {
  const gpu = await openDawn();
  const adapter = async () => {
    const found = await gpu.requestAdapter({ powerPreference: "high-performance" });
    if (!found)
      throw new BackendError(
        "bench on WebGPU: it offers no adapter; check the GPU's driver, or bench another backend",
      );
    // GPU time needs timestamps; the host's clock cannot replace them
    if (!found.features.has("timestamp-query"))
      throw new BackendError(
        `bench on WebGPU: ${adapterName(found.info)} has no timestamp-query, which GPU times are taken by; bench another GPU`,
      );
    return found;
  };
  const { info } = await adapter();
  const name = [info.device, info.description].filter(Boolean).join(", ") || adapterName(info);
  return { name, adapter };
}
