/** A GPU whose devices can be counted on: what lives on them, who listens to them, and losing them. */

export interface DeviceCounts {
  buffers: number;
  bytes: number;
  querySets: number;
  listeners: number;
  destroyed: boolean;
}

/** Counts at the calls themselves, so that the backend's own books are not asked. */
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
  /** Devices in the order in which they were made. */
  readonly devices: readonly GPUDevice[];
  readonly counts: readonly DeviceCounts[];
}

export interface CountedOptions {
  /** What its adapters say they have, in place of what they do. */
  readonly limits?: Partial<Record<keyof GPUSupportedLimits, number>>;
  /** Makes its devices run other kernels than they are given. */
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
