/** Times each group of WebGPU kernels on the device, beside the bytes it must move and a plain read of the same run. */
import { openDeviceModel } from "./device-model.ts";
import { byteFigure, type GpuFigure } from "./figure.ts";
import type { BenchGpu } from "./gpu.ts";
import { KernelBench } from "./kernel-bench.ts";
import type { KernelCase } from "./kernel-case.ts";
import { benchAttentionKernels } from "./kernels-attention.ts";
import { benchMatrixKernels } from "./kernels-matrix.ts";
import { plainRead } from "./plain-read.ts";

/** Groups of kernels. */
export const KERNEL_GROUPS = ["matrix", "attention"] as const;
export type KernelGroup = (typeof KERNEL_GROUPS)[number];

export async function benchWebGpuKernels(
  gpu: BenchGpu,
  plan: KernelCase,
  groups: readonly KernelGroup[] = KERNEL_GROUPS,
): Promise<readonly GpuFigure[]> {
  const { config, dtype, cacheDtype, maxLayers, tuning = {} } = plan;
  const rows = Math.max(...plan.batches);
  const context = Math.max(...plan.contexts, plan.selectionContext);
  const layers = { ...config, numLayers: Math.min(maxLayers, config.numLayers) };
  const model = await openDeviceModel(gpu, layers, { context, rows, dtype, cacheDtype, tuning });
  try {
    const read = await plainRead(model.backend);
    const readBandwidth = read.bytes / read.microseconds / 1000;
    const bench = new KernelBench(model, plan, readBandwidth);
    return [
      byteFigure("plain read", read.microseconds, read.bytes, readBandwidth),
      ...(groups.includes("matrix") ? await benchMatrixKernels(bench) : []),
      ...(groups.includes("attention") ? await benchAttentionKernels(bench) : []),
    ];
  } finally {
    await model.backend.close();
  }
}
