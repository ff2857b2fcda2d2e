import { type Buffers, MAP_READ, USAGE } from "./buffers.ts";
import type { DeviceWatch } from "./device-watch.ts";
import type { NumberedBuffer } from "./refs.ts";

/** Each dispatch is timed by itself and counted for its category or its kernel, or all are timed together. */
export type TimedBy = "category" | "kernel" | "all";

/**
 * GPU time of the commands recorded while it is attached. If dispatches are timed by themselves each is a pass with two
 * timestamps; else they share a pass.
 */
export class StepTimer {
  readonly by: TimedBy;
  readonly #buffers: Buffers;
  readonly #capacity: number;
  readonly #querySet: GPUQuerySet;
  readonly #resolved: NumberedBuffer;
  readonly #staging: NumberedBuffer;
  readonly #spans: string[] = [];

  /** capacity: most dispatches; at most 2048 (a query set holds 4096). */
  constructor(device: GPUDevice, buffers: Buffers, by: TimedBy, capacity = 2048) {
    this.by = by;
    this.#buffers = buffers;
    this.#capacity = capacity;
    this.#querySet = device.createQuerySet({ type: "timestamp", count: capacity * 2 });
    this.#resolved = buffers.create("timestamps", capacity * 16, USAGE.queryResolve | USAGE.copySource);
    this.#staging = buffers.create("timestamps read", capacity * 16, USAGE.mapRead | USAGE.copyTarget);
  }

  /** For the next pass. */
  next(part: string, kernel: string): GPUComputePassTimestampWrites | undefined {
    if (this.#spans.length >= this.#capacity) return undefined;
    const index = this.#spans.push(this.by === "kernel" ? kernel : part) - 1;
    return {
      querySet: this.#querySet,
      beginningOfPassWriteIndex: index * 2,
      endOfPassWriteIndex: index * 2 + 1,
    };
  }

  /** Milliseconds by category, and from the first dispatch to the last ("all"). Submit before. */
  async read(device: GPUDevice, watch: DeviceWatch): Promise<Record<string, number>> {
    const count = this.#spans.length;
    if (count === 0) return { all: 0 };
    const encoder = device.createCommandEncoder();
    encoder.resolveQuerySet(this.#querySet, 0, count * 2, this.#resolved.buffer, 0);
    encoder.copyBufferToBuffer(this.#resolved.buffer, 0, this.#staging.buffer, 0, count * 16);
    device.queue.submit([encoder.finish()]);
    await watch.wait("timestamps", this.#staging.buffer.mapAsync(MAP_READ));
    const times = new BigUint64Array(this.#staging.buffer.getMappedRange(0, count * 16).slice(0));
    this.#staging.buffer.unmap();
    const sums: Record<string, number> = {};
    this.#spans.forEach((part, i) => {
      const nanoseconds = Number((times[i * 2 + 1] ?? 0n) - (times[i * 2] ?? 0n));
      sums[part] = (sums[part] ?? 0) + nanoseconds / 1e6;
    });
    sums.all = Number((times[count * 2 - 1] ?? 0n) - (times[0] ?? 0n)) / 1e6;
    return sums;
  }

  destroy(): void {
    this.#querySet.destroy();
    this.#buffers.destroy(this.#resolved);
    this.#buffers.destroy(this.#staging);
  }
}
