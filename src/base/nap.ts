/**
 * Sleeps on this thread for `ms` milliseconds, fractions included; 0.1 takes about 0.17. Undefined if this thread must not
 * sleep, or need not. Sleep pays in Node: while a promise of the device is pending, the `webgpu` package polls the device once per
 * turn of the event loop, which takes a whole core and some 100 kB of garbage per millisecond.
 */
export const nap: ((ms: number) => void) | undefined = canNap() ? napOn(new SharedArrayBuffer(4)) : undefined;

/** Returns true in Node, whose main thread may wait. A browser's may not, and has no `setImmediate`. */
function canNap(): boolean {
  if (typeof globalThis.setImmediate !== "function" || typeof SharedArrayBuffer === "undefined") return false;
  try {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 0);
    return true;
  } catch {
    return false;
  }
}

function napOn(buffer: SharedArrayBuffer): (ms: number) => void {
  const word = new Int32Array(buffer);
  return (ms) => {
    Atomics.wait(word, 0, 0, ms);
  };
}
