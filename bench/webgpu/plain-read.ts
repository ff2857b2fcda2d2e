/** Memory bandwidth: buffers read once by 16-byte loads. */
import { contextOf, fillRandom, type NumberedBuffer, type WebGpuBackend } from "../../src/node/internal.ts";
import { type CallSequence, timeSequences } from "./call-timer.ts";
import { openDeviceModel } from "./device-model.ts";
import type { BenchGpu } from "./gpu.ts";
import { readShape } from "./shapes.ts";

/** Numbers of workgroups to try: the fastest depends on device and size. */
const WORKGROUPS = [1024, 2048, 4096, 8192];
/** Bytes that a workgroup reads by one load of each invocation. */
const WORKGROUP_BYTES = 4096;
const LARGEST_BYTES = 2 ** 31;
const SOFTWARE_BYTES = 2 ** 24;
/** Bytes of all buffers of one size: more than the last-level cache of any GPU. */
const SET_BYTES = 2 ** 28;
const MAX_SET = 12;

export interface ReadTime {
  readonly bytes: number;
  readonly microseconds: number;
}

/** Reads the largest buffer that can be bound, up to 2 GiB. */
export async function plainRead(backend: WebGpuBackend): Promise<ReadTime> {
  const { traits } = contextOf(backend);
  const bytes = traits.isSoftware ? SOFTWARE_BYTES : Math.min(LARGEST_BYTES, largestBinding(backend));
  return { bytes, microseconds: await timeReads(backend, [bytes]) };
}

/** GB/s of a plain read on a device of its own, which is closed afterwards. */
export async function measureReadBandwidth(gpu: BenchGpu): Promise<number> {
  const { config } = readShape("pico-reasoner");
  const options = { context: 64, rows: 1, dtype: "f32", cacheDtype: "f32" } as const;
  const { backend } = await openDeviceModel(gpu, config, options);
  try {
    const { bytes, microseconds } = await plainRead(backend);
    return bytes / microseconds / 1000;
  } finally {
    await backend.close();
  }
}

/** Microseconds of a sequence of plain reads of these sizes, at the best number of workgroups. */
export async function timeReads(backend: WebGpuBackend, sizes: readonly number[]): Promise<number> {
  const { recorder, buffers } = contextOf(backend);
  const sets = new Map([...new Set(sizes)].map((bytes) => [bytes, new BufferSet(backend, bytes)]));
  const out = buffers.storage("plain read out", 16);
  const kernel = recorder.kernel(["plain-read"], {});
  const sequences = WORKGROUPS.map(
    (workgroups): CallSequence => ({
      name: `${workgroups}`,
      run: () => {
        for (const bytes of sizes)
          for (const part of sets.get(bytes)?.next() ?? []) {
            const most = Math.ceil(part.buffer.size / WORKGROUP_BYTES);
            recorder.dispatch({
              category: "rest",
              kernel,
              bindings: { data: part, out },
              grid: [Math.min(workgroups, most)],
            });
          }
      },
    }),
  );
  try {
    return Math.min(...(await timeSequences(backend, sequences)).values());
  } finally {
    for (const set of sets.values()) set.destroy();
    buffers.destroy(out);
  }
}

/** Several buffers of a size, taken in turn; each is cut to what one binding reaches. */
class BufferSet {
  readonly #backend: WebGpuBackend;
  readonly #copies: readonly (readonly NumberedBuffer[])[];
  #next = 0;

  constructor(backend: WebGpuBackend, bytes: number) {
    const { recorder, buffers } = contextOf(backend);
    const copies = Math.min(MAX_SET, Math.max(1, Math.ceil(SET_BYTES / bytes)));
    const parts = Math.ceil(bytes / largestBinding(backend));
    this.#backend = backend;
    this.#copies = Array.from({ length: copies }, (_, copy) =>
      Array.from({ length: parts }, (_, part) => {
        const buffer = buffers.storage("plain read", bytes / parts);
        fillRandom(recorder, buffer, "f32", copy * parts + part, 0);
        return buffer;
      }),
    );
  }

  next(): readonly NumberedBuffer[] {
    return this.#copies[this.#next++ % this.#copies.length] ?? [];
  }

  destroy(): void {
    for (const buffer of this.#copies.flat()) contextOf(this.#backend).buffers.destroy(buffer);
  }
}

function largestBinding(backend: WebGpuBackend): number {
  const { maxStorageBufferBindingSize, maxBufferSize } = contextOf(backend).device.limits;
  return Math.floor(Math.min(maxStorageBufferBindingSize, maxBufferSize) / 256) * 256;
}
