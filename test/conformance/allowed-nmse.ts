import type { CacheDtype } from "../../src/backend/backend.ts";

/**
 * The error that suites allow. An f16 cache is compared with brute force that rounds keys and values as the cache does; where
 * an f32 sum lies beside the middle between two numbers of f16, one side takes the one and the other side the other. That
 * is one number in some thousand, off by 2^-11 of itself at most: an NMSE below 1e-9, and 2e-9 of the few numbers of one row.
 * Without that rounding it would be 5e-8.
 * In a q8 cache a step is coarser, 2^-7 of the largest number of a row, but a sum lies beside the middle of one less often: 1e-6
 * allows one such number in 50. Without that rounding it would be 3e-5.
 */
export function allowedNmse(bound: number, cacheDtype?: CacheDtype): number {
  return Math.max(bound, cacheDtype === undefined ? 0 : ROUNDED_NMSE[cacheDtype]);
}

const ROUNDED_NMSE: Readonly<Record<CacheDtype, number>> = { f32: 0, f16: 1e-8, q8: 1e-6 };
