import { FAILURE_ADDRESS } from "./assembly/layout.ts";

/**
 * The record at FAILURE_ADDRESS: why no job of a backend can run any more. Shared memory carries it, because the main thread
 * waits for its threads inside a kernel, where no message reaches it.
 *
 * Words: 0 the kind, 0 while all is well. Of a worker that died: 1 its index, 2 the length of a UTF-8 text from word 3 on. Of a
 * join that gave up: 1 threads inside the job, 2 items taken, 3 items.
 */
const DIED = 1;
const GAVE_UP = 2;
const TEXT = FAILURE_ADDRESS + 12;
const MAX_TEXT_BYTES = 400;

/** Milliseconds that a join waits, of assembly/control.ts. */
const JOIN_LIMIT = "30 s";

/** JavaScript of a worker: `recordDeath(memory, index, error)`. The first death is kept. */
export const RECORD_DEATH = `
const recordDeath = (memory, index, error) => {
  const words = new Int32Array(memory.buffer, ${FAILURE_ADDRESS}, 3);
  if (words[0] !== 0) return;
  const text = new TextEncoder().encode(String(error)).subarray(0, ${MAX_TEXT_BYTES});
  new Uint8Array(memory.buffer, ${TEXT}, text.length).set(text);
  words[1] = index;
  words[2] = text.length;
  Atomics.store(words, 0, ${DIED});
};`;

/** What the record tells; undefined while it is empty. */
export function readThreadFailure({ buffer }: WebAssembly.Memory): string | undefined {
  const words = new Int32Array(buffer, FAILURE_ADDRESS, 4);
  const [, second, third, fourth] = words;
  switch (Atomics.load(words, 0)) {
    case DIED:
      // A decoder takes no shared memory.
      return `thread ${second} died: ${new TextDecoder().decode(new Uint8Array(buffer, TEXT, third).slice())}`;
    case GAVE_UP:
      return `${second} of its threads did not finish a job of ${fourth} items, ${third} of them taken, in ${JOIN_LIMIT}`;
    default:
      return undefined;
  }
}
