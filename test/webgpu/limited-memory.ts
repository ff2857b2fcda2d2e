/** A GPU whose devices run out of memory at a number of bytes, as their error scopes tell. */
export interface LimitedGpu {
  readonly gpu: GPU;
  /** Most bytes that may be live at once in one device. */
  maxBytes: number;
  /** Most bytes that were, in the device that was opened last. */
  peakBytes: number;
}

export function limitedMemory(real: GPU): LimitedGpu {
  const limited: LimitedGpu = {
    gpu: new Proxy(real, {
      get: (target, key) =>
        key === "requestAdapter" ? requestAdapter : bound(target, Reflect.get(target, key, target)),
    }),
    maxBytes: Number.POSITIVE_INFINITY,
    peakBytes: 0,
  };
  const requestAdapter: GPU["requestAdapter"] = async (options) => {
    const adapter = await real.requestAdapter(options);
    if (!adapter) return null;
    const requestDevice: GPUAdapter["requestDevice"] = async (descriptor) =>
      limitDevice(await adapter.requestDevice(descriptor), limited);
    return new Proxy(adapter, {
      get: (target, key) =>
        key === "requestDevice" ? requestDevice : bound(target, Reflect.get(target, key, target)),
    });
  };
  return limited;
}

/** Native objects want to be the receiver of their own methods. */
function bound(target: object, value: unknown): unknown {
  return typeof value === "function" ? value.bind(target) : value;
}

function limitDevice(device: GPUDevice, limited: LimitedGpu): GPUDevice {
  const { createBuffer, pushErrorScope, popErrorScope } = device;
  /** Of the scopes that are open: the filter, and whether memory ran out within. */
  const scopes: { readonly filter: GPUErrorFilter; isFull: boolean }[] = [];
  let live = 0;
  limited.peakBytes = 0;
  device.createBuffer = (descriptor) => {
    const buffer = createBuffer.call(device, descriptor);
    const { destroy, size } = buffer;
    live += size;
    limited.peakBytes = Math.max(limited.peakBytes, live);
    const scope = scopes.findLast(({ filter }) => filter === "out-of-memory");
    if (live > limited.maxBytes && scope) scope.isFull = true;
    let isLive = true;
    buffer.destroy = () => {
      if (isLive) live -= size;
      isLive = false;
      destroy.call(buffer);
    };
    return buffer;
  };
  device.pushErrorScope = (filter) => {
    scopes.push({ filter, isFull: false });
    pushErrorScope.call(device, filter);
  };
  device.popErrorScope = async () => {
    const scope = scopes.pop();
    const error = await popErrorScope.call(device);
    return scope?.isFull ? ({ message: `more than ${limited.maxBytes} bytes` } as GPUError) : error;
  };
  return device;
}
