import { BackendError } from "../../base/errors.ts";
import type { NumberedBuffer } from "./refs.ts";

/** GPUBufferUsage and GPUMapMode, which Node does not define globally. */
export const USAGE = {
  mapRead: 0x1,
  copySource: 0x4,
  copyTarget: 0x8,
  uniform: 0x40,
  storage: 0x80,
  queryResolve: 0x200,
} as const;
export const MAP_READ = 1;
/** Usages by which a bind group holds a buffer. */
const BOUND = USAGE.storage | USAGE.uniform;

/** Makes the buffers of a backend, numbers them, counts their bytes, and destroys them all at the end. */
export class Buffers {
  readonly device: GPUDevice;
  readonly #all = new Map<number, GPUBuffer>();
  #next = 1;
  #recorded: NumberedBuffer[] | undefined;
  sizeBytes = 0;
  /** Increases when a bound buffer is destroyed. Older command lists may reference that buffer and are invalid. */
  generation = 0;

  constructor(device: GPUDevice) {
    this.device = device;
  }

  /** @throws BackendError when the device does not allow a buffer of that size. */
  create(label: string, sizeBytes: number, usage: number): NumberedBuffer {
    const size = Math.max(16, Math.ceil(sizeBytes / 16) * 16);
    const { maxBufferSize } = this.device.limits;
    if (size > maxBufferSize)
      throw new BackendError(
        `backend webgpu: ${label} needs a buffer of ${size} bytes, but the device allows ${maxBufferSize}; ` +
          "choose a shorter context length or a smaller model",
      );
    const buffer = this.device.createBuffer({ label, size, usage });
    const id = this.#next++;
    this.#all.set(id, buffer);
    this.sizeBytes += size;
    const made = { id, buffer };
    this.#recorded?.push(made);
    return made;
  }

  /** Runs `work` and lists the buffers that it makes in `made`, those before an error too. */
  record<T>(made: NumberedBuffer[], work: () => T): T {
    this.#recorded = made;
    try {
      return work();
    } finally {
      this.#recorded = undefined;
    }
  }

  /** fill: each word of the buffer, in dry runs too. */
  storage(label: string, sizeBytes: number, fill = 0): NumberedBuffer {
    const made = this.create(label, sizeBytes, USAGE.storage | USAGE.copySource | USAGE.copyTarget);
    if (fill !== 0)
      this.device.queue.writeBuffer(made.buffer, 0, new Uint32Array(made.buffer.size / 4).fill(fill));
    return made;
  }

  destroy({ id, buffer }: NumberedBuffer): void {
    if (!this.#all.delete(id)) return;
    this.sizeBytes -= buffer.size;
    if ((buffer.usage & BOUND) !== 0) this.generation++;
    buffer.destroy();
  }

  destroyAll(): void {
    for (const buffer of this.#all.values()) buffer.destroy();
    this.#all.clear();
    this.sizeBytes = 0;
  }
}
