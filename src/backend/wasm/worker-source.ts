/**
 * Body of a worker, for `new Worker(source, { eval: true, workerData })` of Node and for a Blob worker of a browser,
 * where the data comes as the first message. Runs the kernels' worker loop until the backend stops it.
 * No `await` on the way: the loop blocks its thread.
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
