/**
 * Body of a worker: of Node's `new Worker(source, { eval: true, workerData })`, or of a browser's Blob worker, which gets
 * its data as the first message. Runs the kernels' worker loop, which blocks its thread until the backend stops it.
 */
export const WORKER_SOURCE = `
const run = ({ module, memory, index }) => {
  const env = { memory, now: () => performance.now(), abort: () => { throw new Error("abort"); } };
  new WebAssembly.Instance(module, { env }).exports.workerLoop(index);
};
if (typeof self !== "undefined" && typeof self.postMessage === "function" && typeof require === "undefined") {
  self.onmessage = (event) => run(event.data);
} else {
  run(require("node:worker_threads").workerData);
}
`;
