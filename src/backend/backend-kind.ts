/**
 * A kind of backend on a machine: its availability, its memory limit, its factory, and its allowed error against the
 * reference. Each backend's folder has its row; `src/machine/backends.ts` lists them.
 */
import type { WeightFormat } from "../base/weight-format.ts";
import type { BackendFactory, BackendName, CacheDtype, Capacity, ModelShape } from "./backend.ts";

export interface BackendKind<Host, Options> {
  readonly name: BackendName;
  /** The processor, for messages. */
  readonly device: "GPU" | "CPU";
  readonly memory: BackendMemory;
  /**
   * Finds the device of this machine for it.
   * @throws BackendError if the machine has nothing, with the reason and what to do.
   */
  probe(host: Host, options: Options): Promise<BackendCandidate>;
}

/** The memory that a kind of backend takes, whatever the machine. */
export interface BackendMemory {
  /** Formats of matrices that it keeps; `Backend.weightFormats`. */
  readonly weightFormats: ReadonlySet<WeightFormat>;
  /** Storage types of keys and values that it has; the first if nobody names one. */
  readonly cacheDtypes: readonly [CacheDtype, ...CacheDtype[]];
  /** Rows of a prefill chunk, about. */
  readonly prefillRows: number;
  /** Bytes that it can address; absent: as many as the device has. */
  readonly maxBytes?: number;
  /** Bytes of everything but weights, keys and values, about. */
  workBytes(model: ModelShape, capacity: Capacity, cacheDtype: CacheDtype): number;
}

/** A backend that can be opened here, once. */
export interface BackendCandidate {
  /** Decision of "auto", and its reason. */
  readonly auto: { readonly isWanted: boolean; readonly why?: string };
  /** Error against the reference that rounding explains; see `ALLOWED_ERROR`. */
  readonly allowedError: number;
  readonly memory: BackendMemory;
  /** Concurrent requests if nobody names their number and memory holds them. */
  readonly maxConcurrent: number;
  /** The device whose arithmetic the self-test must prove at open; absent if the CPU computes. */
  readonly tested?: TestedDevice;
  /** Storage type of its keys and values. */
  readonly cacheDtype: CacheDtype;
  /** Memory limit beside a model's weights. */
  memoryLimit(demand: MemoryDemand): MemoryLimit;

  /** Rows of a prefill chunk that suit it for this model: the size of its buffers for rows. See `Backend.prefillRows`. */
  prefillRows(demand: MemoryDemand, maxSequenceLength: number): number;
  readonly open: BackendFactory;
}

/** Names a device in this process. */
export interface TestedDevice {
  /** For people. */
  readonly name: string;
  /** Origin of the device: WebGPU shows no other difference between two equal cards. */
  readonly source: object;
  /** Equal for devices of a source on which kernels compute alike. */
  readonly key: string;
}

export interface MemoryDemand {
  readonly model: ModelShape;
  readonly weightBytes: number;
  /** What attention policies keep. Absent: nothing. */
  readonly kept?: KeptMemory | undefined;
}

/**
 * Memory that attention policies keep beside keys and values, for a capacity. Key bounds do not count: every backend has room for
 * them.
 */
export interface KeptMemory {
  bytes(capacity: Capacity): number;
  /** Of the largest tensor. */
  largestBytes(capacity: Capacity): number;
}

/** Memory limit of a backend. */
export interface MemoryLimit {
  fits(capacity: Capacity): boolean;
  /** True if the limit is that of single buffers: only allocation shows whether weights and cache fit together. */
  readonly isPartial?: true;
  /** Cause of the limit, for messages; completes "does not fit into the …". */
  readonly name: string;
}

/**
 * Concurrent requests by default. A step reads all weights once for its sequences: 16 of them keep the cores of a CPU busy,
 * a GPU takes more. They cost nothing until they run.
 */
export const MAX_CONCURRENT = { cpu: 16, gpu: 32 } as const;

/** Storage types of keys and values of the WASM backend. */
export type CpuCacheDtype = Exclude<CacheDtype, "f16">;

/** The type that WASM takes for the one asked for. It keeps f16 in f32, which loses nothing and is read faster there. */
export function cpuCacheDtype(asked: CacheDtype | undefined): CpuCacheDtype {
  return asked === "q8" ? "q8" : "f32";
}

/**
 * Relative error that rounding explains. f16 keys, values and products keep 11 bits: each is off by up to 5e-4, sums by
 * less. f32 keeps 24 bits, and sums have up to some hundred terms. A q8
 * cache is compared with a q8 cache, in which an element beside the middle of two steps may take the other one, 2^-7 away. A wrong
 * kernel is off by about 1.
 */
export const ALLOWED_ERROR = { f16: 5e-3, f32: 1e-5, q8: 5e-3 } as const;
