import { type Buffers, MAP_READ, USAGE } from "./buffers.ts";
import { CommandLists, type Dispatch, type ProfileCategory } from "./command-lists.ts";
import type { DeviceTraits } from "./device-traits.ts";
import type { DeviceWatch } from "./device-watch.ts";
import { type Kernel, KernelCompiler } from "./kernel-compiler.ts";
import { type Bindings, bufferOf, checkBindings, encodeParams, type Params } from "./kernel-params.ts";
import { isPolled, waitWithFewPolls } from "./patient-wait.ts";
import type { NumberedBuffer } from "./refs.ts";
import type { Constants, ShaderFile } from "./shader.ts";
import type { StepTimer } from "./step-timer.ts";

/** One dispatch of a kernel, by the names that the kernel's text declares. */
export interface DispatchOptions {
  readonly category: ProfileCategory;
  readonly kernel: Kernel;
  /** Fields of the kernel's uniform, if it has one. */
  readonly params?: Params;
  readonly bindings: Bindings;
  /** Workgroups. A dispatch of none is left out. */
  readonly grid: readonly [x: number, y?: number, z?: number];
}

/** Maximum bind groups kept; a decode step of a large model binds some hundreds. */
const MAX_BIND_GROUPS = 16384;
/** Maximum command lists kept; when they are more, all go. */
export const MAX_COMMAND_LISTS = 16384;
const UNIFORM_BYTES = 256;
const UNIFORMS_A_BUFFER = 1024;
/** Room for the largest element of any storage buffer. */
const STAND_IN_BYTES = 64;

/**
 * Records dispatches into a command encoder, in order, and submits them. It makes pipelines, uniforms and bind groups when they
 * are first needed and keeps them, and ops keep command lists to replay: a step in steady state allocates nothing.
 */
export class Recorder {
  readonly device: GPUDevice;
  readonly #watch: DeviceWatch;
  readonly #buffers: Buffers;
  /** By kernel, buffers and uniform. */
  readonly #bindGroups = new Map<string, GPUBindGroup>();
  readonly #standIns = new Map<string, NumberedBuffer>();
  readonly #roots: CommandLists[] = [];
  /** Nodes with a list. Ops keep some nodes, which may no longer be under a root. */
  readonly #nodes = new Set<CommandLists>();
  readonly #uniformBlocks: NumberedBuffer[] = [];
  #uniformsUsed = 0;
  #encoder: GPUCommandEncoder | undefined;
  #computePass: GPUComputePassEncoder | undefined;
  /** Pipeline of the current pass. */
  #pipeline: GPUComputePipeline | undefined;
  /** Dispatches of the command list under construction. */
  #captured: Dispatch[] | undefined;
  readonly #hasImmediates: boolean;
  /** Kernels that the current dry run dispatched; undefined outside a dry run. */
  #asked: Set<Kernel> | undefined;
  readonly compiler: KernelCompiler;
  /** Set while a profile is taken. */
  timer: StepTimer | undefined;
  /** Dispatches recorded since the backend was opened. */
  dispatches = 0;
  /** Submissions so far. */
  submissions = 0;

  constructor(device: GPUDevice, buffers: Buffers, watch: DeviceWatch, traits: DeviceTraits) {
    this.device = device;
    this.#watch = watch;
    this.#buffers = buffers;
    this.compiler = new KernelCompiler(device, watch, traits);
    this.#hasImmediates = traits.hasImmediates;
  }

  /** @throws BackendError when the device was lost or refused an earlier command. */
  check(): void {
    this.#watch.check();
  }

  /** A kernel of the files given, specialised. Compiled when it is prepared, or else first dispatched. */
  kernel(files: readonly ShaderFile[], constants: Constants): Kernel {
    return this.compiler.kernel(files, constants);
  }

  /** True in a dry run, which must leave the state of a step as it is. */
  get isDry(): boolean {
    return this.#asked !== undefined;
  }

  /**
   * Runs `record` dry: nothing of it reaches the device, and the kernels that it dispatches are compiled ahead.
   * @throws BackendError when one of them does not compile.
   */
  async prepare(record: () => void): Promise<void> {
    this.check();
    this.submit(); // a dry run may replace a buffer that recorded dispatches still use
    const asked = new Set<Kernel>();
    this.#asked = asked;
    try {
      record();
    } finally {
      this.#asked = undefined;
    }
    await this.compiler.compileAhead(asked);
  }

  /** A root for the command lists of one op. */
  newCommandLists(): CommandLists {
    const lists = new CommandLists();
    this.#roots.push(lists);
    return lists;
  }

  /** Replays the list of a node if it is valid; returns false otherwise. Replay takes a tenth of the host time of recording. */
  replay({ list }: CommandLists): boolean {
    if (list === undefined || list.generation !== this.#buffers.generation || this.#captured) return false;
    this.check();
    if (this.isDry) return true;
    this.#recordAll(list.dispatches);
    return true;
  }

  /** Records the dispatches of `record` and keeps them for `replay`. The node's key must contain everything they depend on. */
  keep(node: CommandLists, record: () => void): void {
    this.check();
    if (this.#captured || this.isDry) {
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
    if (this.#nodes.size >= MAX_COMMAND_LISTS && !this.#nodes.has(node)) this.#forgetLists();
    this.#nodes.add(node);
    node.list = { generation, dispatches };
  }

  /** Records one dispatch. @throws BackendError if names or types of its inputs are not those of the kernel. */
  dispatch({ category, kernel, params, bindings, grid: [x, y = 1, z = 1] }: DispatchOptions): void {
    this.check();
    if (x === 0 || y === 0 || z === 0) return;
    checkBindings(kernel, bindings);
    const words = encodeParams(kernel, params);
    if (this.#asked) {
      this.#asked.add(kernel);
      return;
    }
    const pipeline = this.compiler.pipelineOf(kernel);
    const buffers = kernel.shader.bindings.map(({ name }) => {
      const buffer = bufferOf(kernel, name, bindings);
      return buffer === "unused" ? this.#standIn(name) : buffer;
    });
    const uniform = this.#hasImmediates || words.length === 0 ? undefined : words;
    let key = `${kernel.id}`;
    for (const { id } of buffers) key += `,${id}`;
    if (uniform) key += `|${uniform.join()}`;
    const group = this.#bindGroups.get(key) ?? this.#makeBindGroup(key, kernel, uniform, buffers);
    const immediates = uniform || words.length === 0 ? undefined : words.buffer;
    const dispatch = { category, pipeline, group, immediates, x, y, z };
    this.#captured?.push(dispatch);
    this.#record(dispatch);
  }

  /** Writable bindings of a dispatch must not share a buffer, so that each unused one has its own. */
  #standIn(name: string): NumberedBuffer {
    let standIn = this.#standIns.get(name);
    if (!standIn) {
      standIn = this.#buffers.storage(`stands in for ${name}`, STAND_IN_BYTES);
      this.#standIns.set(name, standIn);
    }
    return standIn;
  }

  /** The hot loop of a decode step: some 70 to 90 dispatches, each of them three or four calls into the device's binding. */
  #recordAll(dispatches: readonly Dispatch[]): void {
    if (this.timer) {
      for (const dispatch of dispatches) this.#record(dispatch);
      return;
    }
    const pass = this.#computePass ?? this.#beginPass();
    let current = this.#pipeline;
    for (let i = 0; i < dispatches.length; i++) {
      const { pipeline, group, immediates, x, y, z } = dispatches[i] as Dispatch;
      if (pipeline !== current) pass.setPipeline(pipeline);
      current = pipeline;
      pass.setBindGroup(0, group);
      if (immediates) pass.setImmediates(0, immediates);
      pass.dispatchWorkgroups(x, y, z);
    }
    this.#pipeline = current;
    this.dispatches += dispatches.length;
  }

  #beginPass(): GPUComputePassEncoder {
    this.#encoder ??= this.device.createCommandEncoder();
    const pass = this.#encoder.beginComputePass();
    this.#computePass = pass;
    return pass;
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
    { shader, pipeline }: Kernel,
    uniform: Uint32Array<ArrayBuffer> | undefined,
    buffers: readonly NumberedBuffer[],
  ): GPUBindGroup {
    if (!pipeline) throw new TypeError("a bind group of a kernel that is not compiled");
    if (this.#bindGroups.size >= MAX_BIND_GROUPS) this.#forgetBindGroups();
    const entries: GPUBindGroupEntry[] = [];
    if (uniform) {
      const { block, offset } = this.#writeUniform(uniform);
      entries.push({ binding: 0, resource: { buffer: block.buffer, offset, size: UNIFORM_BYTES } });
    }
    buffers.forEach(({ buffer }, i) => {
      entries.push({ binding: shader.bindings[i].number, resource: { buffer } });
    });
    const group = this.device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries });
    this.#bindGroups.set(key, group);
    return group;
  }

  #writeUniform(words: Uint32Array<ArrayBuffer>): { block: NumberedBuffer; offset: number } {
    if (this.#uniformsUsed === this.#uniformBlocks.length * UNIFORMS_A_BUFFER)
      this.#uniformBlocks.push(
        this.#buffers.create("uniforms", UNIFORMS_A_BUFFER * UNIFORM_BYTES, USAGE.uniform | USAGE.copyTarget),
      );
    const block = this.#uniformBlocks[this.#uniformBlocks.length - 1] as NumberedBuffer;
    const offset = (this.#uniformsUsed++ % UNIFORMS_A_BUFFER) * UNIFORM_BYTES;
    // each slot is written once, so that recorded dispatches keep their parameters
    this.device.queue.writeBuffer(block.buffer, offset, words);
    return { block, offset };
  }

  #forgetBindGroups(): void {
    this.submit();
    this.#bindGroups.clear();
    for (const block of this.#uniformBlocks.splice(0)) this.#buffers.destroy(block);
    this.#uniformsUsed = 0;
  }

  #forgetLists(): void {
    for (const root of this.#roots) root.clear();
    for (const node of this.#nodes) node.list = undefined;
    this.#nodes.clear();
  }

  #passFor(category: ProfileCategory, pipeline: GPUComputePipeline): GPUComputePassEncoder {
    if (!this.timer || (this.timer.by === "all" && this.#computePass))
      return this.#computePass ?? this.#beginPass();
    this.#endPass();
    this.#encoder ??= this.device.createCommandEncoder();
    const timestampWrites = this.timer.next(category, pipeline.label);
    this.#computePass = this.#encoder.beginComputePass(timestampWrites ? { timestampWrites } : {});
    return this.#computePass;
  }

  #endPass(): void {
    this.#computePass?.end();
    this.#computePass = undefined;
    this.#pipeline = undefined;
  }

  /** Records a copy on the device, in order with the dispatches. */
  copy(from: GPUBuffer, fromOffset: number, to: GPUBuffer, toOffset: number, sizeBytes: number): void {
    this.check();
    if (this.isDry) return;
    this.#endPass();
    this.#encoder ??= this.device.createCommandEncoder();
    this.#encoder.copyBufferToBuffer(from, fromOffset, to, toOffset, sizeBytes);
  }

  /** Submits recorded work. */
  submit(): void {
    this.#endPass();
    if (!this.#encoder) return;
    const commands = this.#encoder.finish();
    this.#encoder = undefined;
    this.device.queue.submit([commands]);
    this.submissions++;
  }

  /** Writes to a buffer, in order with recorded dispatches: after earlier ones, before later ones. */
  write(buffer: NumberedBuffer, offsetBytes: number, data: Float32Array | Uint32Array, count: number): void {
    this.check();
    if (this.isDry) return;
    this.submit();
    this.device.queue.writeBuffer(buffer.buffer, offsetBytes, data as GPUAllowSharedBufferSource, 0, count);
  }

  /**
   * Writes to a buffer that no recorded dispatch reads before it is submitted: after the submitted dispatches, without a submission of
   * its own.
   */
  writeUnread(buffer: NumberedBuffer, data: Float32Array | Uint32Array, count: number): void {
    this.check();
    if (this.isDry) return;
    this.device.queue.writeBuffer(buffer.buffer, 0, data as GPUAllowSharedBufferSource, 0, count);
  }

  /**
   * Maps a staging buffer. what: names its contents in messages.
   * Resolves to whether the data was still to come at the first look.
   * @throws BackendError when the device fails meanwhile or does not answer.
   */
  async map(staging: NumberedBuffer, what: string): Promise<boolean> {
    const mapped = this.#watch.guard(what, staging.buffer.mapAsync(MAP_READ));
    if (isPolled) return waitWithFewPolls(mapped);
    await mapped;
    return true;
  }

  /** Waits until the device has done everything submitted. what: names it in messages. */
  async finish(what: string): Promise<void> {
    await this.#watch.wait(what, this.device.queue.onSubmittedWorkDone());
  }
}
