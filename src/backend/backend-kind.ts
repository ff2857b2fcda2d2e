/**
 * A kind of backend, as `src/machine` sees it: its availability, memory limit, factory, and allowed error against the
 * reference. Each backend's folder has one row; `src/machine/backends.ts` lists them.
 */
import type { BackendFactory, BackendName, Capacity, ModelShape } from "./backend.ts";

export interface BackendKind<Host, Options> {
  readonly name: BackendName;
  /** The processor, for messages. */
  readonly device: "GPU" | "CPU";
  /**
   * Looks for this kind of backend on the machine.
   * @throws BackendError with reason and advice if the machine has none
   */
  probe(host: Host, options: Options): Promise<BackendCandidate>;
}

/** A backend that the machine can open, once. */
export interface BackendCandidate {
  /** Decides whether "auto" chooses it, with the reason. */
  readonly auto: { readonly isWanted: boolean; readonly why?: string };
  /** Maximum error against the reference that rounding can cause; see `ALLOWED_ERROR`. */
  readonly allowedError: number;
  /** The device that the self-test must check at open; absent for the CPU. */
  readonly tested?: TestedDevice;
  /** Returns the memory limit beside a model's weights. */
  memoryLimit(demand: MemoryDemand): MemoryLimit;
  readonly open: BackendFactory;
}

/** Identifies a device within this process. */
export interface TestedDevice {
  /** For people. */
  readonly name: string;
  /** The origin of the device: WebGPU reports no other difference between two equal cards. */
  readonly source: object;
  /** Equal for devices of one source on which kernels compute the same results. */
  readonly key: string;
}

export interface MemoryDemand {
  readonly model: ModelShape;
  readonly weightBytes: number;
}

/** A backend's memory limit. */
export interface MemoryLimit {
  fits(capacity: Capacity): boolean;
  /** Names the limit in messages; completes "does not fit into the …". */
  readonly name: string;
}

/**
 * Maximum relative error that rounding can cause. f16 keys, values and products keep 11 bits: the error is at most 5e-4 a
 * term, and less for sums. f32 keeps 24 bits, for sums of a few hundred terms. A wrong kernel has an error of about 1.
 */
export const ALLOWED_ERROR = { f16: 5e-3, f32: 1e-5 } as const;
