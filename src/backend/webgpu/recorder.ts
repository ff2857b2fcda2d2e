import { type Buffers, MAP_READ, USAGE } from "./buffers.ts";
import { CommandLists, type Dispatch, type ProfileCategory } from "./command-lists.ts";
import type { DeviceTraits } from "./device-traits.ts";
import type { DeviceWatch } from "./device-watch.ts";
import type { NumberedBuffer } from "./refs.ts";
import { type Constants, shaderText } from "./shader.ts";
import type { StepTimer } from "./step-timer.ts";

/** A kernel specialised for one use. */
export interface Kernel {
  readonly id: number;
  readonly pipeline: GPUComputePipeline;
}

/** A compute call made before, found again by what it binds. */
type BindGroups = Map<string, GPUBindGroup>;

/** Kernels live as long as their device. */
const COMPILED = new WeakMap<GPUDevice, Map<string, Kernel>>();
/** Distinct bindings kept; a decode step of a large model has some hundreds. */
const MAX_BIND_GROUPS = 16384;
const MAX_COMMAND_LISTS = 16384;
/** Which matrix a subgroup takes depends on the subgroup, which the analysis cannot tell from divergence. */
const SUBGROUP_MATRIX_DIRECTIVES =
  "diagnostic(off, chromium.subgroup_matrix_uniformity);\n" +
  "enable f16;\nenable subgroups;\nenable chromium_experimental_subgroup_matrix;\n";
const UNIFORM_BYTES = 256;
const UNIFORMS_A_BUFFER = 1024;

/**
 * Records dispatches into a command encoder, in order, and submits them. Pipelines, uniforms and bind groups are made
 * when first needed and found again by key, so that nothing is made in steady state.
 */
export class Recorder {
  readonly device: GPUDevice;
  readonly #watch: DeviceWatch;
  readonly #buffers: Buffers;
  readonly #kernels: Map<string, Kernel>;
  readonly #bindGroups: BindGroups = new Map();
  /** Roots of all command lists, and how many lists were recorded under them. */
  readonly #roots: CommandLists[] = [];
  #numLists = 0;
  readonly #uniformBlocks: NumberedBuffer[] = [];
  #uniformsUsed = 0;
  #encoder: GPUCommandEncoder | undefined;
  #pass: GPUComputePassEncoder | undefined;
  /** Set in the pass. */
  #pipeline: GPUComputePipeline | undefined;
  /** Dispatches of the command list under construction. */
  #captured: Dispatch[] | undefined;
  readonly #directives: string;
  readonly #hasImmediates: boolean;
  /** Set while a profile is taken. */
  timer: StepTimer | undefined;
  /** Dispatches recorded since the backend was opened. */
  dispatches = 0;

  constructor(device: GPUDevice, buffers: Buffers, watch: DeviceWatch, traits: DeviceTraits) {
    this.device = device;
    this.#watch = watch;
    this.#buffers = buffers;
    this.#kernels = COMPILED.get(device) ?? new Map();
    COMPILED.set(device, this.#kernels);
    this.#directives = traits.minSubgroupSize >= 4 ? "enable subgroups;\n" : "";
    this.#hasImmediates = traits.hasImmediates;
  }

  /** @throws BackendError when the device was lost or refused an earlier command. */
  check(): void {
    this.#watch.check();
  }

  /** A kernel of the files given, specialised. Compiled once. */
  kernel(files: readonly string[], constants: Constants): Kernel {
    const key = `${files.join("+")} ${this.#hasImmediates} ${JSON.stringify(constants)}`;
    let kernel = this.#kernels.get(key);
    if (!kernel) {
      const label = [files[files.length - 1], constants.PAIR && "pair", constants.ADD && "add"]
        .filter(Boolean)
        .join(" ");
      const directives = files.includes("subgroup-matrix") ? SUBGROUP_MATRIX_DIRECTIVES : this.#directives;
      const code = directives + shaderText(files, constants, this.#hasImmediates);
      const module = this.device.createShaderModule({ label, code });
      const pipeline = this.device.createComputePipeline({ label, layout: "auto", compute: { module } });
      kernel = { id: this.#kernels.size, pipeline };
      this.#kernels.set(key, kernel);
    }
    return kernel;
  }

  /** A root for the command lists of one op. */
  newCommandLists(): CommandLists {
    const lists = new CommandLists();
    this.#roots.push(lists);
    return lists;
  }

  /** Records the list at a place again, where there is a valid one: a tenth of the host time of recording it anew. */
  replay({ list }: CommandLists): boolean {
    if (list === undefined || list.generation !== this.#buffers.generation || this.#captured) return false;
    this.check();
    const { dispatches } = list;
    for (let i = 0; i < dispatches.length; i++) this.#record(dispatches[i] as Dispatch);
    return true;
  }

  /** Records what `record` dispatches and keeps it for `replay`. The place must say everything the dispatches depend on. */
  keep(place: CommandLists, record: () => void): void {
    this.check();
    if (this.#captured) {
      record(); // a list within a list belongs to the outer one
      return;
    }
    const { generation } = this.#buffers;
    const dispatches: Dispatch[] = [];
    this.#captured = dispatches;
    try {
      record();
    } finally {
      this.#captured = undefined;
    }
    // a buffer replaced meanwhile may be bound by the first dispatches
    if (generation !== this.#buffers.generation) return;
    if (this.#numLists++ >= MAX_COMMAND_LISTS) {
      for (const root of this.#roots) root.clear();
      this.#numLists = 1;
    }
    place.list = { generation, dispatches };
  }

  /**
   * Records one dispatch.
   *
   * parameters  words of the kernel's Params, at most 16
   * bindings    binding number to buffer, from 1 where there are parameters; those that the kernel does not use must be
   *             left out
   */
  dispatch(
    category: ProfileCategory,
    kernel: Kernel,
    parameters: readonly number[] | undefined,
    bindings: readonly (NumberedBuffer | undefined)[],
    x: number,
    y = 1,
    z = 1,
  ): void {
    this.check();
    if (x === 0 || y === 0 || z === 0) return;
    let key = `${kernel.id}`;
    for (const binding of bindings) key += binding ? `,${binding.id}` : ",";
    const inGroup = this.#hasImmediates ? undefined : parameters;
    if (inGroup) key += `|${inGroup.join()}`;
    const group =
      this.#bindGroups.get(key) ?? this.#makeBindGroup(key, kernel, inGroup, bindings, parameters ? 1 : 0);
    const immediates = this.#hasImmediates && parameters ? Uint32Array.from(parameters).buffer : undefined;
    const dispatch = { category, pipeline: kernel.pipeline, group, immediates, x, y, z };
    this.#captured?.push(dispatch);
    this.#record(dispatch);
  }

  #record({ category, pipeline, group, immediates, x, y, z }: Dispatch): void {
    const pass = this.#passFor(category, pipeline);
    if (pipeline !== this.#pipeline) pass.setPipeline(pipeline);
    this.#pipeline = pipeline;
    pass.setBindGroup(0, group);
    if (immediates) pass.setImmediates(0, immediates);
    pass.dispatchWorkgroups(x, y, z);
    this.dispatches++;
  }

  #makeBindGroup(
    key: string,
    kernel: Kernel,
    uniform: readonly number[] | undefined,
    bindings: readonly (NumberedBuffer | undefined)[],
    firstBinding: number,
  ): GPUBindGroup {
    if (this.#bindGroups.size >= MAX_BIND_GROUPS) this.#forgetBindGroups();
    const entries: GPUBindGroupEntry[] = [];
    if (uniform) {
      const { block, offset } = this.#writeUniform(uniform);
      entries.push({ binding: 0, resource: { buffer: block.buffer, offset, size: UNIFORM_BYTES } });
    }
    bindings.forEach((binding, i) => {
      if (binding) entries.push({ binding: i + firstBinding, resource: { buffer: binding.buffer } });
    });
    const layout = kernel.pipeline.getBindGroupLayout(0);
    const group = this.device.createBindGroup({ layout, entries });
    this.#bindGroups.set(key, group);
    return group;
  }

  #writeUniform(words: readonly number[]): { block: NumberedBuffer; offset: number } {
    if (this.#uniformsUsed === this.#uniformBlocks.length * UNIFORMS_A_BUFFER)
      this.#uniformBlocks.push(
        this.#buffers.create("uniforms", UNIFORMS_A_BUFFER * UNIFORM_BYTES, USAGE.uniform | USAGE.copyTarget),
      );
    const block = this.#uniformBlocks[this.#uniformBlocks.length - 1] as NumberedBuffer;
    const offset = (this.#uniformsUsed++ % UNIFORMS_A_BUFFER) * UNIFORM_BYTES;
    // a place is written once, so what was recorded before is not changed
    this.device.queue.writeBuffer(block.buffer, offset, Uint32Array.from(words));
    return { block, offset };
  }

  #forgetBindGroups(): void {
    this.submit();
    this.#bindGroups.clear();
    for (const block of this.#uniformBlocks.splice(0)) this.#buffers.destroy(block);
    this.#uniformsUsed = 0;
  }

  #passFor(category: ProfileCategory, pipeline: GPUComputePipeline): GPUComputePassEncoder {
    this.#encoder ??= this.device.createCommandEncoder();
    if (this.timer && (this.timer.by !== "all" || !this.#pass)) {
      this.#endPass();
      const timestampWrites = this.timer.next(category, pipeline.label);
      this.#pass = this.#encoder.beginComputePass(timestampWrites ? { timestampWrites } : {});
    }
    this.#pass ??= this.#encoder.beginComputePass();
    return this.#pass;
  }

  #endPass(): void {
    this.#pass?.end();
    this.#pass = undefined;
    this.#pipeline = undefined;
  }

  /** Copies on the device, in order with the dispatches. */
  copy(from: GPUBuffer, fromOffset: number, to: GPUBuffer, toOffset: number, sizeBytes: number): void {
    this.check();
    this.#endPass();
    this.#encoder ??= this.device.createCommandEncoder();
    this.#encoder.copyBufferToBuffer(from, fromOffset, to, toOffset, sizeBytes);
  }

  /** Submits what was recorded. */
  submit(): void {
    this.#endPass();
    if (!this.#encoder) return;
    const commands = this.#encoder.finish();
    this.#encoder = undefined;
    this.device.queue.submit([commands]);
  }

  /** Writes after everything recorded so far, before everything recorded later. */
  write(buffer: NumberedBuffer, offsetBytes: number, data: Float32Array | Uint32Array, count: number): void {
    this.check();
    this.submit();
    this.device.queue.writeBuffer(buffer.buffer, offsetBytes, data as GPUAllowSharedBufferSource, 0, count);
  }

  /** Submits, waits, and hands over the bytes of a mapped copy. */
  async read(buffer: NumberedBuffer, sizeBytes: number): Promise<ArrayBuffer> {
    const staging = this.#buffers.create("read", sizeBytes, USAGE.mapRead | USAGE.copyTarget);
    try {
      this.copy(buffer.buffer, 0, staging.buffer, 0, sizeBytes);
      this.submit();
      await this.map(staging, "the contents of a tensor");
      return staging.buffer.getMappedRange(0, sizeBytes).slice(0);
    } finally {
      this.#buffers.destroy(staging);
    }
  }

  /**
   * Waits until a staging buffer is mapped. what: what it brings, for messages.
   * @throws BackendError when the device fails meanwhile or does not answer.
   */
  async map(staging: NumberedBuffer, what: string): Promise<void> {
    await this.#watch.wait(what, staging.buffer.mapAsync(MAP_READ));
  }

  /** Waits until the device has done what was submitted. what: what that is, for messages. */
  async finish(what: string): Promise<void> {
    await this.#watch.wait(what, this.device.queue.onSubmittedWorkDone());
  }
}
