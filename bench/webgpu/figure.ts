import type { Verdict } from "../targets.ts";

/** One line about a kernel; what does not apply is left out. */
export interface GpuFigure extends Partial<Verdict> {
  readonly kernel: string;
  readonly microseconds?: number;
  /** Bytes that must move. */
  readonly bytes?: number;
  readonly gigabytesPerSecond?: number;
  /** Of the bandwidth of the plain read in the same run. */
  readonly shareOfRead?: number;
  /** Of plain reads of the same sizes in the same order, one after another: no kernel can do with less here. */
  readonly plainReadsMicroseconds?: number;
  /** Time over that of the kernel it is compared with. */
  readonly times?: number;
  readonly teraflops?: number;
}

/** A figure of so many bytes in so much time; without a bandwidth it has no share. */
export function byteFigure(
  kernel: string,
  microseconds: number,
  bytes: number,
  readBandwidth: number,
): GpuFigure & { readonly shareOfRead: number } {
  const gigabytesPerSecond = bytes / microseconds / 1000;
  return { kernel, microseconds, bytes, gigabytesPerSecond, shareOfRead: gigabytesPerSecond / readBandwidth };
}
