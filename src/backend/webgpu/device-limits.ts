import { BackendError } from "../../base/errors.ts";
import type { ExpertShape } from "../backend.ts";
import { logitRows, scoreBytes } from "../decoder-memory.ts";
import { type GpuSizes, keyRowBytes } from "./context.ts";
import { stepLayout } from "./step-buffer.ts";

/** The limits of an adapter or device that kernels depend on. */
export type DeviceLimits = Pick<
  GPUSupportedLimits,
  | "maxBufferSize"
  | "maxStorageBufferBindingSize"
  | "maxStorageBuffersPerShaderStage"
  | "maxComputeInvocationsPerWorkgroup"
  | "maxComputeWorkgroupSizeX"
  | "maxComputeWorkgroupStorageSize"
>;

/** Limits that kernels need for any model; every device of core WebGPU has them, one in compatibility mode may not. */
const NEEDED: readonly (readonly [keyof DeviceLimits, number])[] = [
  ["maxStorageBuffersPerShaderStage", 8],
  ["maxComputeInvocationsPerWorkgroup", 256],
  ["maxComputeWorkgroupSizeX", 256],
  ["maxComputeWorkgroupStorageSize", 16384],
];

/** The largest buffer that one binding reaches. */
export function bindingBytes({ maxBufferSize, maxStorageBufferBindingSize }: DeviceLimits): number {
  return Math.min(maxBufferSize, maxStorageBufferBindingSize);
}

/** The largest buffer that is bound whole. Weights are split, so they do not count. */
export function largestBuffer({ model, capacity, cacheDtype }: GpuSizes): {
  readonly what: string;
  readonly sizeBytes: number;
} {
  const { maxBatchSequences: sequences, maxSequenceLength } = capacity;
  const rowBytes = keyRowBytes(model, cacheDtype);
  const tokens = capacity.maxPages * capacity.pageSize;
  const candidates = [
    { what: `the keys of one layer for ${tokens} tokens`, sizeBytes: tokens * model.numKvHeads * rowBytes },
    {
      what: `scores of ${sequences} sequences of ${maxSequenceLength} tokens`,
      sizeBytes: scoreBytes(model, capacity),
    },
    { what: `page tables of ${sequences} sequences`, sizeBytes: 4 * stepLayout(model, capacity).size },
    { what: `logits of ${logitRows(capacity)} rows`, sizeBytes: 4 * logitRows(capacity) * model.vocabSize },
  ];
  return candidates.reduce((largest, one) => (one.sizeBytes > largest.sizeBytes ? one : largest));
}

/** Bytes of the workgroup arrays of route.wgsl: `keys` and `masses` of all experts, `picked` of the chosen ones. */
export function routeBytes({
  numExperts,
  topExperts,
}: Pick<ExpertShape, "numExperts" | "topExperts">): number {
  const arrays = [4 * numExperts, 4 * numExperts, 4 * topExperts];
  // a device may place each at a multiple of 16 bytes
  return arrays.reduce((sum, bytes) => sum + Math.ceil(bytes / 16) * 16, 0);
}

/** @throws BackendError with every limit that is too small: the need, the limit, the remedy. */
export function checkLimits(sizes: GpuSizes, limits: DeviceLimits): void {
  const problems = NEEDED.filter(([name, least]) => limits[name] < least).map(
    ([name, least]) => `${name} must be at least ${least} and is ${limits[name]}`,
  );
  const { experts } = sizes.model;
  const space = limits.maxComputeWorkgroupStorageSize;
  const { what, sizeBytes } = largestBuffer(sizes);
  const most = bindingBytes(limits);
  if (problems.length > 0)
    throw new BackendError(
      `opening webgpu: this device cannot run the kernels: ${problems.join("; ")}; use the wasm backend`,
    );
  if (experts && routeBytes(experts) > space)
    throw new BackendError(
      `opening webgpu: choosing ${experts.topExperts} of ${experts.numExperts} experts needs ${routeBytes(experts)} bytes of ` +
        `workgroup memory, but this device has ${space} (maxComputeWorkgroupStorageSize); use the wasm backend`,
    );
  if (sizeBytes > most)
    throw new BackendError(
      `opening webgpu: ${what} need a buffer of ${sizeBytes} bytes, but this device binds at most ${most} at once ` +
        "(maxStorageBufferBindingSize, maxBufferSize); choose a shorter contextLength or fewer concurrent requests",
    );
}
