/** Times each group of WebGPU kernels on the device, beside the bytes it must move and a plain read of the same run. */
import { openDeviceModel } from "./device-model.ts";
import { byteFigure, type GpuFigure } from "./figure.ts";
import type { BenchGpu } from "./gpu.ts";
import { KernelBench } from "./kernel-bench.ts";
import type { KernelCase } from "./kernel-case.ts";
import { benchAttentionKernels } from "./kernels-attention.ts";
import { benchMatrixKernels } from "./kernels-matrix.ts";
import { plainRead } from "./plain-read.ts";

export async function benchWebGpuKernels(gpu: BenchGpu, plan: KernelCase): Promise<readonly GpuFigure[]> {
  const { config, dtype, cacheDtype, maxLayers } = plan;
  const rows = Math.max(...plan.batches);
  const context = Math.max(...plan.contexts, plan.selectionContext);
  const layers = { ...config, numLayers: Math.min(maxLayers, config.numLayers) };
  const model = await openDeviceModel(gpu, layers, { context, rows, dtype, cacheDtype });
  try {
    const read = await plainRead(model.backend);
    const readBandwidth = read.bytes / read.microseconds / 1000;
    const bench = new KernelBench(model, plan, readBandwidth);
    return [
      byteFigure("plain read", read.microseconds, read.bytes, readBandwidth),
      ...(await benchMatrixKernels(bench)),
      ...(await benchAttentionKernels(bench)),
    ];
  } finally {
    await model.backend.close();
  }
}
