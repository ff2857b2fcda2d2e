import type { CacheDtype } from "../../src/node/internal.ts";
import type { Verdict } from "../targets.ts";

/** One line about a kernel, without the figures that do not apply. */
export interface GpuFigure extends Partial<Verdict> {
  readonly kernel: string;
  /** Of the cache that attention reads. */
  readonly cacheDtype?: CacheDtype;
  readonly microseconds?: number;
  /** Bytes that must move. */
  readonly bytes?: number;
  readonly gigabytesPerSecond?: number;
  /** Bandwidth over that of the plain read in the same run. */
  readonly shareOfRead?: number;
  /** Time of plain reads of the same sizes in the same order: a bound of any kernel here. */
  readonly plainReadsMicroseconds?: number;
  /** Time over the compared kernel's. */
  readonly times?: number;
  readonly teraflops?: number;
}

/** The figure of a kernel that moves `bytes` in a time. */
export function byteFigure(
  kernel: string,
  microseconds: number,
  bytes: number,
  readBandwidth: number,
): GpuFigure & { readonly shareOfRead: number } {
  const gigabytesPerSecond = bytes / microseconds / 1000;
  return { kernel, microseconds, bytes, gigabytesPerSecond, shareOfRead: gigabytesPerSecond / readBandwidth };
}
