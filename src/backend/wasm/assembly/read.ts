/** A plain read of memory, the yardstick of streaming kernels. */
import { fork, ALL_THREADS } from "./control";
import { param, setParam } from "./state";

const ITEM: u32 = 65536;

/** Reads `bytes` (a multiple of 64 KiB) on all threads. result: address of 16 bytes. */
export function readAll(start: u32, bytes: u32, result: u32): void {
  // Params: 0 start, 1 result.
  setParam(0, start);
  setParam(1, result);
  fork(readItem, bytes / ITEM, ALL_THREADS);
}

function readItem(item: u32): void {
  let p = <usize>(param(0) + item * ITEM);
  let a = i32x4.splat(0), b = a, c = a, d = a;
  for (const end = p + ITEM; p < end; p += 128) {
    a = v128.xor(a, v128.load(p));
    b = v128.xor(b, v128.load(p, 16));
    c = v128.xor(c, v128.load(p, 32));
    d = v128.xor(d, v128.load(p, 48));
    a = v128.xor(a, v128.load(p, 64));
    b = v128.xor(b, v128.load(p, 80));
    c = v128.xor(c, v128.load(p, 96));
    d = v128.xor(d, v128.load(p, 112));
  }
  v128.store(<usize>param(1), v128.xor(v128.xor(a, b), v128.xor(c, d)));
}
