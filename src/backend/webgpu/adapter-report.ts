import { isSoftwareAdapter } from "../software-adapter.ts";
import type { DeviceLimits } from "./device-limits.ts";
import { adapterName, adapterTraits } from "./open-webgpu.ts";

/** An adapter's identity and the capabilities that kernels depend on. */
export interface AdapterReport {
  readonly name: string;
  readonly vendor: string;
  readonly architecture: string;
  readonly device: string;
  readonly description: string;
  /** True for a software adapter. */
  readonly isSoftware: boolean;
  /** Absent without subgroups. */
  readonly subgroupSizes?: { readonly min: number; readonly max: number };
  readonly hasF16: boolean;
  readonly hasSubgroupMatrices: boolean;
  readonly features: readonly string[];
  readonly limits: DeviceLimits;
}

export function reportAdapter(adapter: GPUAdapter): AdapterReport {
  const { vendor, architecture, device, description } = adapter.info;
  const { minSubgroupSize: min, maxSubgroupSize: max, hasF16, subgroupMatrix } = adapterTraits(adapter);
  const {
    maxBufferSize,
    maxStorageBufferBindingSize,
    maxStorageBuffersPerShaderStage,
    maxComputeInvocationsPerWorkgroup,
    maxComputeWorkgroupSizeX,
    maxComputeWorkgroupStorageSize,
  } = adapter.limits;
  return {
    name: adapterName(adapter.info),
    vendor,
    architecture,
    device,
    description,
    isSoftware: isSoftwareAdapter(adapter.info),
    ...(min > 0 && { subgroupSizes: { min, max } }),
    hasF16,
    hasSubgroupMatrices: subgroupMatrix !== undefined,
    features: [...adapter.features].sort(),
    limits: {
      maxBufferSize,
      maxStorageBufferBindingSize,
      maxStorageBuffersPerShaderStage,
      maxComputeInvocationsPerWorkgroup,
      maxComputeWorkgroupSizeX,
      maxComputeWorkgroupStorageSize,
    },
  };
}
