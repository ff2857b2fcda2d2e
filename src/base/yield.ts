/** Calls `callback` in the next turn of the event loop, by `setImmediate` in Node, by a message channel elsewhere. */
export function nextTurn(callback: () => void): void {
  if (typeof globalThis.setImmediate === "function") globalThis.setImmediate(callback);
  else void yieldToEventLoop().then(callback);
}

/**
 * Gives timers, signals and streams a turn: by `setImmediate` in Node, by a message channel elsewhere. `setTimeout` would
 * take at least a millisecond.
 */
export function yieldToEventLoop(): Promise<void> {
  if (typeof globalThis.setImmediate === "function")
    return new Promise((resolve) => {
      globalThis.setImmediate(() => resolve());
    });
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(undefined);
  });
}
