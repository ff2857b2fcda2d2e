/** A GPU whose devices can be counted on: what lives on them, who listens to them, and losing them. */

export interface DeviceCounts {
  buffers: number;
  bytes: number;
  querySets: number;
  listeners: number;
  destroyed: boolean;
}

/** Counts at the calls themselves, so that the backend's own books are not asked. */
function countDevice(device: GPUDevice): DeviceCounts {
  const counts = { buffers: 0, bytes: 0, querySets: 0, listeners: 0, destroyed: false };
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

/** limits: what its adapters say they have, in place of what they do. */
export function countedGpu(
  real: GPU,
  limits: Partial<Record<keyof GPUSupportedLimits, number>> = {},
): CountedGpu {
  const devices: GPUDevice[] = [];
  const counts: DeviceCounts[] = [];
  const requestAdapter: GPU["requestAdapter"] = async (options) => {
    const adapter = await real.requestAdapter(options);
    if (!adapter) return adapter;
    const requestDevice = adapter.requestDevice.bind(adapter);
    return new Proxy(adapter, {
      get(target, key) {
        if (key === "limits")
          return new Proxy(target.limits, {
            get: (has, name) => Reflect.get(limits, name) ?? Reflect.get(has, name, has),
          });
        if (key === "requestDevice")
          return async (descriptor?: GPUDeviceDescriptor) => {
            const device = await requestDevice(descriptor);
            devices.push(device);
            counts.push(countDevice(device));
            return device;
          };
        return Reflect.get(target, key, target);
      },
    });
  };
  return { gpu: { requestAdapter } as GPU, devices, counts };
}
