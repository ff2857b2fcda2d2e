import { type Buffers, MAP_READ, USAGE } from "./buffers.ts";
import type { DeviceTraits } from "./device-traits.ts";
import type { DeviceWatch } from "./device-watch.ts";
import { type Kernel, KernelCompiler } from "./kernel-compiler.ts";
import { type Bindings, checkBindings, encodeParams, type Params } from "./kernel-params.ts";
import type { NumberedBuffer } from "./refs.ts";
import type { Constants, ShaderFile } from "./shader.ts";
import type { StepTimer } from "./step-timer.ts";

/** What a dispatch belongs to in a profile. */
export type ProfileCategory = "weights" | "dense attention" | "selection" | "sparse attention" | "rest";

/** One dispatch of a kernel, by the names that the kernel's text declares. */
export interface DispatchOptions {
  readonly category: ProfileCategory;
  readonly kernel: Kernel;
  /** Fields of the kernel's uniform, where it has one. */
  readonly params?: Params;
  readonly bindings: Bindings;
  /** Workgroups. A dispatch of none is left out. */
  readonly grid: readonly [x: number, y?: number, z?: number];
}

/** A dispatch with all it binds. */
interface Dispatch {
  readonly part: ProfileCategory;
  readonly pipeline: GPUComputePipeline;
  readonly group: GPUBindGroup;
  /** Parameters that come with the dispatch, where they are not in a uniform of the group. */
  readonly immediates: Uint32Array<ArrayBuffer> | undefined;
  readonly x: number;
  readonly y: number;
  readonly z: number;
}

/** Dispatches that were recorded together; they hold while no buffer is destroyed. */
interface Plan {
  readonly generation: number;
  readonly dispatches: readonly Dispatch[];
}

/** Distinct bindings kept; a decode step of a large model has some hundreds. */
const MAX_BIND_GROUPS = 16384;
const MAX_PLANS = 16384;
const UNIFORM_BYTES = 256;
const UNIFORMS_A_BUFFER = 1024;
/** The largest element of any storage buffer. */
const STAND_IN_BYTES = 64;

/**
 * Records dispatches into a command encoder, in order, and submits them. Pipelines, uniforms and bind groups are made
 * when first needed and found again by key, so that nothing is made in steady state.
 */
export class Recorder {
  readonly device: GPUDevice;
  readonly #watch: DeviceWatch;
  readonly #buffers: Buffers;
  /** By kernel, buffers and uniform. */
  readonly #bindGroups = new Map<string, GPUBindGroup>();
  readonly #standIns = new Map<string, NumberedBuffer>();
  readonly #plans = new Map<string, Plan>();
  readonly #uniformBlocks: NumberedBuffer[] = [];
  #uniformsUsed = 0;
  #encoder: GPUCommandEncoder | undefined;
  #pass: GPUComputePassEncoder | undefined;
  /** Set in the pass. */
  #pipeline: GPUComputePipeline | undefined;
  /** Of the plan that is being made. */
  #captured: Dispatch[] | undefined;
  readonly #hasImmediates: boolean;
  /** Kernels that a dry run asked for; undefined outside of one. */
  #asked: Set<Kernel> | undefined;
  readonly compiler: KernelCompiler;
  /** Set while a profile is taken. */
  timer: StepTimer | undefined;
  /** Dispatches recorded since the backend was opened. */
  dispatches = 0;

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

  /**
   * Records what `record` dispatches, and remembers it: under the same key it is recorded again without calling `record`,
   * which costs the host a tenth. The key must say everything that the dispatches depend on.
   */
  plan(key: string, record: () => void): void {
    this.check();
    const known = this.#plans.get(key);
    if (known && known.generation === this.#buffers.generation) {
      if (this.isDry) return;
      for (const dispatch of known.dispatches) this.#record(dispatch);
      return;
    }
    if (this.#captured || this.isDry) {
      record(); // a plan within a plan belongs to the outer one
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
    // where a buffer was replaced on the way, the first dispatches name the old one
    if (generation !== this.#buffers.generation) return;
    if (this.#plans.size >= MAX_PLANS) this.#plans.clear();
    this.#plans.set(key, { generation, dispatches });
  }

  /** Records one dispatch. @throws BackendError where names or types of its inputs are not those of the kernel. */
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
    const buffers = kernel.shader.bindings.map(({ name }) => this.#bufferOf(name, bindings[name]));
    const uniform = this.#hasImmediates || words.length === 0 ? undefined : words;
    let key = `${kernel.id}`;
    for (const { id } of buffers) key += `,${id}`;
    if (uniform) key += `|${uniform.join()}`;
    const group = this.#bindGroups.get(key) ?? this.#makeBindGroup(key, kernel, uniform, buffers);
    const immediates = uniform || words.length === 0 ? undefined : words;
    const dispatch = { part: category, pipeline, group, immediates, x, y, z };
    this.#captured?.push(dispatch);
    this.#record(dispatch);
  }

  /** Writable bindings of a dispatch must not share a buffer, so that each unused one has its own. */
  #bufferOf(name: string, given: NumberedBuffer | "unused" | undefined): NumberedBuffer {
    if (given !== undefined && given !== "unused") return given;
    let standIn = this.#standIns.get(name);
    if (!standIn) {
      standIn = this.#buffers.storage(`stands in for ${name}`, STAND_IN_BYTES);
      this.#standIns.set(name, standIn);
    }
    return standIn;
  }

  #record({ part, pipeline, group, immediates, x, y, z }: Dispatch): void {
    const pass = this.#passFor(part, pipeline);
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
    // a place is written once, so what was recorded before is not changed
    this.device.queue.writeBuffer(block.buffer, offset, words);
    return { block, offset };
  }

  #forgetBindGroups(): void {
    this.submit();
    this.#bindGroups.clear();
    for (const block of this.#uniformBlocks.splice(0)) this.#buffers.destroy(block);
    this.#uniformsUsed = 0;
  }

  #passFor(part: ProfileCategory, pipeline: GPUComputePipeline): GPUComputePassEncoder {
    this.#encoder ??= this.device.createCommandEncoder();
    if (this.timer && (this.timer.by !== "all" || !this.#pass)) {
      this.#endPass();
      const timestampWrites = this.timer.next(part, pipeline.label);
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
    if (this.isDry) return;
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
    if (this.isDry) return;
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
