/** What the memory gives: buffers read once, by 16-byte loads. */
import { fillRandom, type NumberedBuffer, type WebGpuBackend } from "../../src/node/internal.ts";
import { openDeviceModel } from "./device-model.ts";
import type { BenchGpu } from "./gpu.ts";
import { type Chain, timeChains } from "./layer-kernel-timer.ts";
import { readShape } from "./shapes.ts";

/** Which number of workgroups reads fastest depends on the device and on the size. */
const WORKGROUPS = [1024, 2048, 4096, 8192];
/** What a workgroup reads by one load an invocation. */
const WORKGROUP_BYTES = 4096;
const LARGEST_BYTES = 2 ** 31;
const EMULATED_BYTES = 2 ** 24;
/** Buffers of one size together: more than any GPU's last-level cache holds. */
const SET_BYTES = 2 ** 28;
const MAX_SET = 12;

export interface ReadTime {
  readonly bytes: number;
  readonly microseconds: number;
}

/** Reads the largest buffer that can be bound, up to 2 GiB. */
export async function plainRead(backend: WebGpuBackend): Promise<ReadTime> {
  const { traits } = backend.context;
  const bytes = traits.isSoftware ? EMULATED_BYTES : Math.min(LARGEST_BYTES, largestBinding(backend));
  return { bytes, microseconds: await readChain(backend, [bytes]) };
}

/** GB/s of a plain read on a device of its own, whose memory is free again afterwards. */
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

/** Microseconds of a chain of plain reads of these sizes, at the best number of workgroups. */
export async function readChain(backend: WebGpuBackend, sizes: readonly number[]): Promise<number> {
  const { recorder, buffers } = backend.context;
  const sets = new Map([...new Set(sizes)].map((bytes) => [bytes, new BufferSet(backend, bytes)]));
  const out = buffers.storage("plain read out", 16);
  const kernel = recorder.kernel(["plain-read"], {});
  const chains = WORKGROUPS.map(
    (workgroups): Chain => ({
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
    return Math.min(...(await timeChains(backend, chains)).values());
  } finally {
    for (const set of sets.values()) set.destroy();
    buffers.destroy(out);
  }
}

/** Several buffers of a size, taken in turn; each in as many parts as bindings ask for. */
class BufferSet {
  readonly #backend: WebGpuBackend;
  readonly #copies: readonly (readonly NumberedBuffer[])[];
  #next = 0;

  constructor(backend: WebGpuBackend, bytes: number) {
    const { recorder, buffers } = backend.context;
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
    for (const buffer of this.#copies.flat()) this.#backend.context.buffers.destroy(buffer);
  }
}

function largestBinding(backend: WebGpuBackend): number {
  const { maxStorageBufferBindingSize, maxBufferSize } = backend.context.device.limits;
  return Math.floor(Math.min(maxStorageBufferBindingSize, maxBufferSize) / 256) * 256;
}
