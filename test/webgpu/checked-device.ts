/** Collects a device's validation errors for each kernel, by the kernel's label. */

export interface KernelCheck {
  /** File of the kernel, then its specialisation. */
  readonly label: string;
  /** The compiler's error for the shader's text. */
  readonly textError: string | undefined;
  /** The device's error for the pipeline: workgroup size, storage or bindings. */
  readonly pipelineError: string | undefined;
}

/** Intercepts the device's calls. `checks` waits for the results of all kernels created so far. */
export function checkKernels(device: GPUDevice): { checks(): Promise<readonly KernelCheck[]> } {
  const pending: Promise<KernelCheck>[] = [];
  const texts = new WeakMap<GPUShaderModule, Promise<GPUError | null>>();
  const { createShaderModule, createComputePipeline } = device;
  device.createShaderModule = (descriptor) => {
    device.pushErrorScope("validation");
    const module = createShaderModule.call(device, descriptor);
    texts.set(module, device.popErrorScope());
    return module;
  };
  device.createComputePipeline = (descriptor) => {
    device.pushErrorScope("validation");
    const pipeline = createComputePipeline.call(device, descriptor);
    const error = device.popErrorScope();
    const text = texts.get(descriptor.compute.module);
    if (!text) throw new Error("a pipeline of a shader that this device did not make");
    pending.push(
      Promise.all([text, error]).then(([textError, pipelineError]) => ({
        label: descriptor.label ?? "",
        textError: textError?.message,
        pipelineError: pipelineError?.message,
      })),
    );
    return pipeline;
  };
  return { checks: () => Promise.all(pending) };
}
