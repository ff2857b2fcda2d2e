import { RECORD_DEATH } from "./thread-failure.ts";

/**
 * Body of a worker: of Node's `new Worker(source, { eval: true })`, or of a browser's Blob worker. Its first message is its
 * data. Runs the kernels' worker loop, which blocks its thread until the backend stops it.
 */
export const WORKER_SOURCE = `${RECORD_DEATH}
const run = ({ module, memory, index }) => {
  const env = { memory, now: () => performance.now(), abort: () => { throw new Error("abort"); } };
  try {
    new WebAssembly.Instance(module, { env }).exports.workerLoop(index);
  } catch (error) {
    recordDeath(memory, index, error);
    throw error;
  }
};
if (typeof self !== "undefined" && typeof self.postMessage === "function") {
  self.onmessage = (event) => run(event.data);
} else {
  process.getBuiltinModule("node:worker_threads").parentPort.once("message", run);
}
`;
