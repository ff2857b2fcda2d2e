import { BackendError } from "../../base/errors.ts";
import { mebibytes } from "../../base/mebibytes.ts";
import type { CacheDtype, Capacity, ModelShape } from "../backend.ts";
import { checkFeatures, DECODER_FEATURES } from "../decoder-features.ts";
import { isSoftwareAdapter } from "../software-adapter.ts";
import { Buffers } from "./buffers.ts";
import { DEFAULT_CACHE_DTYPE, type GpuSizes } from "./context.ts";
import { bindingBytes, checkLimits } from "./device-limits.ts";
import type { DeviceTraits } from "./device-traits.ts";
import { DeviceWatch } from "./device-watch.ts";
import { subgroupMatrixOf } from "./subgroup-matrices.ts";
import { type Tuning, tuningFor } from "./tuning.ts";
import type { WebGpuBackend } from "./webgpu-backend.ts";

export interface WebGpuOptions {
  /** Storage type of keys and values. Default f16. */
  readonly cacheDtype?: CacheDtype;
  /** Overrides of the device's traits, for benchmarks and tests. */
  readonly traits?: Partial<DeviceTraits>;
  /** Sizes of kernels in place of the usual ones: chosen on this GPU, or by a benchmark. */
  readonly tuning?: Partial<Tuning>;
  /** The card, for people, where WebGPU describes its driver alone. */
  readonly name?: string;
  /** A device to share: it stays open, and kernels compiled for it are used again. For tests. */
  readonly device?: GPUDevice;
}

const OPTIONAL_FEATURES = [
  "shader-f16",
  "subgroups",
  "timestamp-query",
  "chromium-experimental-subgroup-matrix",
] as const;
const RAISED_LIMITS = [
  "maxBufferSize",
  "maxStorageBufferBindingSize",
  "maxComputeWorkgroupStorageSize",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupSizeX",
  "maxStorageBuffersPerShaderStage",
  "maxImmediateSize",
] as const;

/**
 * Returns a function that opens the backend on an adapter. An adapter gives one device, so call the function once, or as often
 * as wanted if `options` share a device. It throws a BackendError when the device is unavailable or too small, with the need,
 * the limit and the remedy.
 */
export function webGpuFactory(
  adapter: GPUAdapter,
  options: WebGpuOptions = {},
): (model: ModelShape, capacity: Capacity) => Promise<WebGpuBackend> {
  const { cacheDtype = DEFAULT_CACHE_DTYPE } = options;
  return (model, capacity) => open({ model, capacity, cacheDtype }, adapter, options);
}

async function open(sizes: GpuSizes, adapter: GPUAdapter, options: WebGpuOptions): Promise<WebGpuBackend> {
  const { model, capacity, cacheDtype } = sizes;
  checkFeatures({ name: "webgpu", has: DECODER_FEATURES }, model, cacheDtype);
  checkLimits(sizes, adapter.limits);
  // A process that computes on the CPU never parses the backend and its kernels.
  const { WebGpuBackend } = await import("./webgpu-backend.ts");
  const device = options.device ?? (await requestWebGpuDevice(adapter));
  const buffers = new Buffers(device);
  const watch = new DeviceWatch(device);
  try {
    const found = traitsOf(adapter, device);
    const tuning = tuningFor({ ...found, ...options.traits }, options.tuning);
    const hasImmediates = found.hasImmediates && tuning.immediates;
    const traits = { ...found, hasImmediates, ...options.traits };
    return await watch.allocate(
      () =>
        new WebGpuBackend(model, capacity, {
          device,
          isShared: options.device !== undefined,
          buffers,
          watch,
          traits,
          tuning,
          ...(options.tuning && { chosen: options.tuning }),
          cacheDtype,
          description: describe(options.name ?? adapterName(adapter.info), traits),
        }),
      () => `the buffers of its steps (${mebibytes(buffers.sizeBytes)})`,
    );
  } catch (error) {
    watch.close();
    buffers.destroyAll();
    if (!options.device) device.destroy();
    throw error;
  }
}

/** A device with all that the adapter has and the kernels can use. @throws BackendError */
export async function requestWebGpuDevice(adapter: GPUAdapter): Promise<GPUDevice> {
  const features = OPTIONAL_FEATURES.filter((feature) => adapter.features.has(feature));
  const requiredLimits: Record<string, number> = {};
  // a limit that a browser does not know yet must not be asked for
  for (const limit of RAISED_LIMITS)
    if (adapter.limits[limit] !== undefined) requiredLimits[limit] = adapter.limits[limit];
  try {
    return await adapter.requestDevice({
      label: "lessismore",
      requiredFeatures: features as unknown as GPUFeatureName[],
      requiredLimits,
    });
  } catch (error) {
    throw new BackendError(`backend webgpu: the adapter gave no device: ${String(error)}`, { cause: error });
  }
}

/** Features and limits of a device, or of an adapter, whose device may have all of them. */
type Capabilities = Pick<GPUDevice, "features" | "limits">;

/** Traits of the device that an adapter can give. */
export function adapterTraits(adapter: GPUAdapter): DeviceTraits {
  return traitsOf(adapter, adapter);
}

function traitsOf(adapter: GPUAdapter, device: Capabilities): DeviceTraits {
  const hasSubgroups = device.features.has("subgroups");
  const { subgroupMinSize = 0, subgroupMaxSize = 0 } = adapter.info as {
    subgroupMinSize?: number;
    subgroupMaxSize?: number;
  };
  return {
    minSubgroupSize: hasSubgroups ? subgroupMinSize : 0,
    maxSubgroupSize: hasSubgroups ? subgroupMaxSize : 1,
    isSoftware: isSoftwareAdapter(adapter.info),
    maxInvocations: device.limits.maxComputeInvocationsPerWorkgroup,
    workgroupBytes: device.limits.maxComputeWorkgroupStorageSize,
    bindingBytes: bindingBytes(device.limits),
    hasImmediates: (device.limits.maxImmediateSize ?? 0) >= 64,
    storageBuffers: device.limits.maxStorageBuffersPerShaderStage,
    forwardProgress: forwardProgressOf(adapter.info),
    hasF16: device.features.has("shader-f16"),
    hasPackedDot: hasPackedDot(),
    subgroupMatrix: subgroupMatrixOf(adapter.info, device),
  };
}

/**
 * Returns the guarantee of devices that were tried. A software adapter could use tickets, but there a spinning workgroup
 * occupies the core that its producer needs.
 */
function forwardProgressOf(info: GPUAdapterInfo): DeviceTraits["forwardProgress"] {
  return info.vendor === "nvidia" && !isSoftwareAdapter(info) ? "ordered-launch" : undefined;
}

/** A browser says what its WGSL has; Node's WebGPU, which is no part of `navigator`, has it. */
function hasPackedDot(): boolean {
  const { navigator } = globalThis as {
    navigator?: { gpu?: { wgslLanguageFeatures?: ReadonlySet<string> } };
  };
  return navigator?.gpu?.wgslLanguageFeatures?.has("packed_4x8_integer_dot_product") ?? true;
}

/** Name of an adapter, for people. */
export function adapterName({ vendor, architecture, description }: GPUAdapterInfo): string {
  return description || [vendor, architecture].filter(Boolean).join(" ") || "unnamed adapter";
}

function describe(name: string, traits: DeviceTraits): string {
  const has = [
    traits.minSubgroupSize
      ? `subgroups of ${traits.minSubgroupSize} to ${traits.maxSubgroupSize}`
      : "no subgroups",
    traits.hasF16 ? "shader-f16" : "no shader-f16",
    ...(traits.subgroupMatrix ? ["subgroup matrices"] : []),
  ];
  return `${name}; ${has.join(", ")}`;
}
