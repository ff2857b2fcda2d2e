import { BackendError } from "../../base/errors.ts";
import type { DeviceTraits } from "./device-traits.ts";
import type { DeviceWatch } from "./device-watch.ts";
import { assembleShader, type Constants, type Shader, type ShaderFile, textOf } from "./shader.ts";

/** A kernel specialised for one use. Its text is assembled when it is asked for, its pipeline compiled when it is needed. */
export interface Kernel {
  readonly id: number;
  /** The last of its files, and the uses it was specialised for. */
  readonly label: string;
  readonly constants: Constants;
  readonly shader: Shader;
  pipeline: GPUComputePipeline | undefined;
  /** Set while it is compiled ahead. */
  compiling: Promise<void> | undefined;
}

/** Kernels live as long as their device. */
const KERNELS = new WeakMap<GPUDevice, Map<string, Kernel>>();
/** Kernels that are compiled at once. */
const MAX_AT_ONCE = 16;
/** SwiftShader's compiler takes gigabytes for some kernels: 15 GB when four were compiled at once. */
const MAX_AT_ONCE_IN_SOFTWARE = 1;

/** Compiles kernels: ahead and in parallel if they are known beforehand, else at their first dispatch. */
export class KernelCompiler {
  /** Labels of kernels that nothing prepared: the dispatch waited for the compiler. */
  readonly stalls: string[] = [];
  readonly #device: GPUDevice;
  readonly #watch: DeviceWatch;
  readonly #kernels: Map<string, Kernel>;
  readonly #hasImmediates: boolean;
  readonly #maxAtOnce: number;
  #numCompiling = 0;
  /** Kernels that wait for one of `maxAtOnce` places. */
  readonly #waiting: (() => void)[] = [];
  #isClosed = false;

  constructor(device: GPUDevice, watch: DeviceWatch, traits: DeviceTraits) {
    this.#device = device;
    this.#watch = watch;
    this.#kernels = KERNELS.get(device) ?? new Map();
    KERNELS.set(device, this.#kernels);
    this.#hasImmediates = traits.hasImmediates;
    this.#maxAtOnce = traits.isSoftware ? MAX_AT_ONCE_IN_SOFTWARE : MAX_AT_ONCE;
  }

  /** The kernel of these files, specialised. @throws BackendError when its text cannot be assembled. */
  kernel(files: readonly ShaderFile[], constants: Constants): Kernel {
    const key = `${files.join("+")} ${this.#hasImmediates} ${JSON.stringify(constants)}`;
    let kernel = this.#kernels.get(key);
    if (!kernel) {
      const name = files[files.length - 1] ?? "";
      const uses = [constants.PAIR && "pair", constants.ADD && "add"].filter(Boolean);
      const shader = assembleShader(files, { constants, hasImmediates: this.#hasImmediates });
      kernel = {
        ...{ id: this.#kernels.size, label: [name, ...uses].join(" "), constants, shader },
        ...{ pipeline: undefined, compiling: undefined },
      };
      this.#kernels.set(key, kernel);
    }
    return kernel;
  }

  /** The pipeline of a kernel; compiles it now if it was not compiled ahead. The watch reports a compile error. */
  pipelineOf(kernel: Kernel): GPUComputePipeline {
    if (kernel.pipeline) return kernel.pipeline;
    this.stalls.push(kernel.label);
    this.#device.pushErrorScope("validation");
    const module = this.#moduleOf(kernel);
    const pipeline = this.#device.createComputePipeline(descriptorOf(kernel, module));
    this.#watch.judge(
      this.#device
        .popErrorScope()
        .then((error) => (error ? compileError(kernel, module, error.message) : undefined)),
    );
    kernel.pipeline = pipeline;
    return pipeline;
  }

  /** Stops compiling and waits for running compilations, because the device must outlive them. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.allSettled([...this.#kernels.values()].flatMap(({ compiling }) => compiling ?? []));
  }

  /** Compiles kernels without a stall. @throws BackendError for the first that does not compile. */
  async compileAhead(kernels: Iterable<Kernel>): Promise<void> {
    const missing = [...kernels].filter((kernel) => !kernel.pipeline);
    await Promise.all(
      missing.map((kernel) => {
        kernel.compiling ??= this.#compileInTurn(kernel);
        return kernel.compiling;
      }),
    );
  }

  async #compileInTurn(kernel: Kernel): Promise<void> {
    if (this.#numCompiling < this.#maxAtOnce) this.#numCompiling++;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve)); // a place is handed over
    try {
      if (this.#isClosed) throw new BackendError("backend webgpu: it was closed while kernels were compiled");
      await this.#compile(kernel);
    } finally {
      kernel.compiling = undefined;
      const next = this.#waiting.shift();
      if (next) next();
      else this.#numCompiling--;
    }
  }

  async #compile(kernel: Kernel): Promise<void> {
    this.#device.pushErrorScope("validation");
    const module = this.#moduleOf(kernel);
    const refused = this.#device.popErrorScope();
    const made = this.#device.createComputePipelineAsync(descriptorOf(kernel, module)).then(
      (pipeline) => pipeline,
      (error: unknown) => String(error),
    );
    const [error, pipeline] = await this.#watch.wait(
      `kernel ${kernel.label} to compile`,
      Promise.all([refused, made]),
    );
    this.#watch.check();
    if (typeof pipeline === "string" || error)
      throw await compileError(kernel, module, error?.message ?? String(pipeline));
    kernel.pipeline ??= pipeline;
  }

  #moduleOf({ label, shader }: Kernel): GPUShaderModule {
    return this.#device.createShaderModule({ label, code: textOf(shader) });
  }
}

function descriptorOf({ label }: Kernel, module: GPUShaderModule): GPUComputePipelineDescriptor {
  return { label, layout: "auto", compute: { module } };
}

/** An error with the compiler's messages and the source lines they name. message: used if the compiler names no lines. */
async function compileError(kernel: Kernel, module: GPUShaderModule, message: string): Promise<BackendError> {
  const { messages } = await module.getCompilationInfo();
  const errors = messages.filter(({ type }) => type === "error");
  const said = errors.map((error) => {
    const line = kernel.shader.lines[error.lineNum - 1];
    return line ? `${line.file}:${line.number}: ${error.message}\n  ${line.text.trim()}` : error.message;
  });
  const constants = Object.entries(kernel.constants).map(([name, value]) => `${name}=${value}`);
  return new BackendError(
    `backend webgpu: kernel ${kernel.label} does not compile on this device: ${(said.length > 0 ? said : [message]).join("\n")}\n` +
      `  with ${constants.join(", ") || "no constants"}; use the wasm backend`,
  );
}
