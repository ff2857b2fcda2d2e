import type { TensorRef } from "../../base/tensor-ref.ts";
import { checkReadback, type Readback } from "../readback.ts";
import { type Buffers, USAGE } from "./buffers.ts";
import type { Recorder } from "./recorder.ts";
import { type NumberedBuffer, WebGpuTensor } from "./refs.ts";

/** Minimum bytes of a staging buffer. Sizes are powers of two, so that they repeat. */
const MIN_BYTES = 1 << 16;
/** Maximum staging buffers kept for later readbacks, and maximum bytes of one of them. */
const MAX_KEPT = 4;
const MAX_KEPT_BYTES = 1 << 26;

/** A staging buffer, the bytes that it has, and where they go. */
interface Block {
  readonly staging: NumberedBuffer;
  readonly copies: { readonly offset: number; readonly out: Float32Array | Uint32Array }[];
  usedBytes: number;
}

/** Reads tensors through staging buffers, which it keeps: no bind group holds one, so that no command list depends on them. */
export class Readbacks {
  readonly #recorder: Recorder;
  readonly #buffers: Buffers;
  readonly #settle: (tensor: WebGpuTensor) => void;
  readonly #free: NumberedBuffer[] = [];
  /** Bytes of the last readback: the next one is often of the same size. */
  #lastBytes = 0;

  /** settle: records what is pending on a tensor */
  constructor(recorder: Recorder, buffers: Buffers, settle: (tensor: WebGpuTensor) => void) {
    this.#recorder = recorder;
    this.#buffers = buffers;
    this.#settle = settle;
  }

  start(): Readback {
    const blocks: Block[] = [];
    return {
      add: (tensor, first, out) => this.#add(blocks, tensor, first, out),
      arrive: () => this.#arrive(blocks),
    };
  }

  #add(blocks: Block[], ref: TensorRef, first: number, out: Float32Array | Uint32Array): void {
    const tensor = WebGpuTensor.of(ref);
    checkReadback(tensor, tensor.size, first, out);
    if (out.length === 0) return;
    const sizeBytes = out.byteLength;
    let block = blocks[blocks.length - 1];
    if (!block || block.usedBytes + sizeBytes > block.staging.buffer.size) {
      const wanted = blocks.length === 0 ? Math.max(sizeBytes, this.#lastBytes) : sizeBytes;
      block = { staging: this.#take(wanted), copies: [], usedBytes: 0 };
      blocks.push(block);
    }
    this.#settle(tensor);
    this.#recorder.copy(tensor.buffer, first * 4, block.staging.buffer, block.usedBytes, sizeBytes);
    block.copies.push({ offset: block.usedBytes, out });
    block.usedBytes += sizeBytes;
  }

  /** Returns the smallest free buffer of at least `leastBytes`, or a new one. */
  #take(leastBytes: number): NumberedBuffer {
    const sizeBytes = 2 ** Math.ceil(Math.log2(Math.max(MIN_BYTES, leastBytes)));
    const at = this.#free.findIndex(({ buffer }) => buffer.size >= leastBytes);
    const [known] = at < 0 ? [] : this.#free.splice(at, 1);
    const { maxBufferSize } = this.#recorder.device.limits;
    const size = Math.max(leastBytes, Math.min(sizeBytes, maxBufferSize));
    return known ?? this.#buffers.create("data for the host", size, USAGE.mapRead | USAGE.copyTarget);
  }

  async #arrive(blocks: readonly Block[]): Promise<void> {
    this.#recorder.submit();
    this.#lastBytes = blocks.reduce((sum, { usedBytes }) => sum + usedBytes, 0);
    if (this.#lastBytes > MAX_KEPT_BYTES) this.#lastBytes = 0;
    for (const { staging, copies } of blocks) {
      await this.#recorder.map(staging, "the contents of a tensor");
      const mapped = staging.buffer.getMappedRange();
      for (const { offset, out } of copies) {
        const from = new Uint32Array(mapped, offset, out.length);
        new Uint32Array(out.buffer, out.byteOffset, out.length).set(from);
      }
      staging.buffer.unmap();
      this.#giveBack(staging);
    }
  }

  /** Keeps a buffer, in order of size, or destroys it if it is large or enough are kept. */
  #giveBack(staging: NumberedBuffer): void {
    if (staging.buffer.size > MAX_KEPT_BYTES || this.#free.length >= MAX_KEPT) {
      this.#buffers.destroy(staging);
      return;
    }
    this.#free.push(staging);
    this.#free.sort((a, b) => a.buffer.size - b.buffer.size);
  }
}
