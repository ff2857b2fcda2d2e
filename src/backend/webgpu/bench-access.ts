/**
 * Access of benchmarks and kernel tests to a WebGPU backend beyond its contract. Nothing else uses it;
 * src/node/internal.ts exports it to `bench`.
 */
import type { TensorRef } from "../../base/tensor-ref.ts";
import type { SamplingRow } from "../backend.ts";
import type { GpuContext } from "./context.ts";
import { WebGpuTensor } from "./refs.ts";
import { StepTimer, type TimedBy } from "./step-timer.ts";
import { WebGpuBackend } from "./webgpu-backend.ts";

export function contextOf(backend: WebGpuBackend): GpuContext {
  return WebGpuBackend.inside(backend).context;
}

/** Fills all weights and the cache with pseudo-random values made on the device; norms become 1. */
export function fillBackend(backend: WebGpuBackend, seed: number): void {
  const { context, cache } = WebGpuBackend.inside(backend);
  context.weights.fillRandom(context.recorder, seed);
  cache.fillRandom(seed);
}

/** Records the combine of split-KV attention that is pending on an output, so that attention alone is timed whole. */
export function combineAttention(backend: WebGpuBackend, output: TensorRef): void {
  WebGpuBackend.inside(backend).attention.decode.settle(WebGpuTensor.of(output));
}

/** Records a sample whose tokens stay on the device, for the next step to embed. */
export function sampleOnDevice(
  backend: WebGpuBackend,
  logits: TensorRef,
  rows: readonly SamplingRow[],
): void {
  WebGpuBackend.inside(backend).sampling.record(logits, rows);
}

/**
 * Measures GPU milliseconds of the dispatches that `work` records: by category or by kernel, each dispatch timed by itself, or
 * only "all", gaps between dispatches included. Needs the feature timestamp-query.
 */
export async function profile(
  backend: WebGpuBackend,
  work: () => void,
  by: TimedBy,
): Promise<Record<string, number>> {
  const { context, watch } = WebGpuBackend.inside(backend);
  const { device, buffers, recorder } = context;
  const timer = new StepTimer(device, buffers, by);
  backend.flush();
  recorder.timer = timer;
  try {
    work();
    backend.flush();
    recorder.timer = undefined;
    return await timer.read(device, watch);
  } finally {
    recorder.timer = undefined;
    timer.destroy();
  }
}
