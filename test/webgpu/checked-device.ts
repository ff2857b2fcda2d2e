/** A device that keeps what it says of each kernel it is given, by the kernel's label. */

export interface KernelCheck {
  /** File of the kernel, then what it was specialised for. */
  readonly label: string;
  /** Why the text is no shader of this device. */
  readonly textError: string | undefined;
  /** Why the shader cannot run on it: its workgroups, its bindings. */
  readonly pipelineError: string | undefined;
}

/** Listens at the calls themselves. `checks` waits for the verdicts on all kernels made so far. */
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
