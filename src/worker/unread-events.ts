/** Events of steps (logits, traces) that the other thread has not handled. A slow handler stops the engine, as it would on the same thread. */

/** Limit on unread events: enough to compute the next step meanwhile; an event may have all logits of a position. */
const MAX_UNREAD = 8;
/** Milliseconds after which a waiting worker looks again. */
const LOOK_AGAIN_MS = 1000;

/** Makes the counter, in memory that both threads have; undefined where threads may not share memory (a page that is not isolated). */
export function createUnreadCounter(): Int32Array | undefined {
  if (typeof SharedArrayBuffer !== "function") return undefined;
  return new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
}

/** Counts an event that is about to be sent. Blocks the worker while too many are unread. */
export function countSent(counter: Int32Array | undefined): void {
  if (!counter) return;
  Atomics.add(counter, 0, 1);
  for (;;) {
    const unread = Atomics.load(counter, 0);
    if (unread <= MAX_UNREAD) return;
    Atomics.wait(counter, 0, unread, LOOK_AGAIN_MS);
  }
}

/** Counts an event as handled, and wakes the worker. */
export function countHandled(counter: Int32Array | undefined): void {
  if (!counter) return;
  Atomics.sub(counter, 0, 1);
  Atomics.notify(counter, 0);
}
