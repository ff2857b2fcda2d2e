/** Wraps a GPU: counts the live buffers, query sets and listeners of its devices, and overrides limits and shaders. */

export interface DeviceCounts {
  buffers: number;
  bytes: number;
  querySets: number;
  listeners: number;
  destroyed: boolean;
}

/** Intercepts the device's calls, so that the counts are independent of the backend's own. */
function countDevice(device: GPUDevice, rewriteShader: (code: string) => string): DeviceCounts {
  const counts = { buffers: 0, bytes: 0, querySets: 0, listeners: 0, destroyed: false };
  const { createShaderModule } = device;
  device.createShaderModule = (descriptor) =>
    createShaderModule.call(device, { ...descriptor, code: rewriteShader(descriptor.code) });
  const { createBuffer, createQuerySet, addEventListener, removeEventListener, destroy } = device;
  device.createBuffer = (descriptor) => {
    const buffer = createBuffer.call(device, descriptor);
    counts.buffers++;
    counts.bytes += buffer.size;
    const { destroy } = buffer;
    let isLive = true;
    buffer.destroy = () => {
      if (isLive) {
        counts.buffers--;
        counts.bytes -= buffer.size;
      }
      isLive = false;
      destroy.call(buffer);
    };
    return buffer;
  };
  device.createQuerySet = (descriptor) => {
    const querySet = createQuerySet.call(device, descriptor);
    counts.querySets++;
    const { destroy } = querySet;
    querySet.destroy = () => {
      counts.querySets--;
      destroy.call(querySet);
    };
    return querySet;
  };
  device.addEventListener = (...args: Parameters<GPUDevice["addEventListener"]>) => {
    counts.listeners++;
    addEventListener.apply(device, args);
  };
  device.removeEventListener = (...args: Parameters<GPUDevice["removeEventListener"]>) => {
    counts.listeners--;
    removeEventListener.apply(device, args);
  };
  device.destroy = () => {
    counts.destroyed = true;
    destroy.call(device);
  };
  return counts;
}

export interface CountedGpu {
  readonly gpu: GPU;
  /** Devices in order of creation. */
  readonly devices: readonly GPUDevice[];
  readonly counts: readonly DeviceCounts[];
}

export interface CountedOptions {
  /** Overrides limits of its adapters. */
  readonly limits?: Partial<Record<keyof GPUSupportedLimits, number>>;
  /** Replaces the code of every shader. */
  readonly rewriteShader?: (code: string) => string;
}

export function countedGpu(
  real: GPU,
  { limits = {}, rewriteShader = (code) => code }: CountedOptions = {},
): CountedGpu {
  const devices: GPUDevice[] = [];
  const counts: DeviceCounts[] = [];
  const requestAdapter: GPU["requestAdapter"] = async (options) => {
    const adapter = await real.requestAdapter(options);
    if (!adapter) return adapter;
    const requestDevice = async (descriptor?: GPUDeviceDescriptor): Promise<GPUDevice> => {
      const device = await adapter.requestDevice(descriptor);
      devices.push(device);
      counts.push(countDevice(device, rewriteShader));
      return device;
    };
    const { info, features } = adapter;
    return {
      info,
      features,
      limits: new Proxy(adapter.limits, {
        get: (has, name) => Reflect.get(limits, name) ?? Reflect.get(has, name, has),
      }),
      requestDevice,
    } as GPUAdapter;
  };
  return { gpu: { requestAdapter } as GPU, devices, counts };
}
