import { Worker } from "node:worker_threads";
import { describe, expect, it } from "vitest";
import { repositoryPath } from "../../test/golden/open-fixture.ts";
import { countHandled, countSent, createUnreadCounter } from "./unread-events.ts";

const EVENTS = 40;
/** Sends events as fast as it may. */
const SENDER = `
  const { parentPort, workerData } = require("node:worker_threads");
  import(workerData.module).then(({ countSent }) => {
    for (let i = 0; i < ${EVENTS}; i++) {
      countSent(workerData.counter);
      Atomics.add(workerData.sent, 0, 1);
      parentPort.postMessage(i);
    }
  });`;

describe("unread events", () => {
  it("stop the worker at 8, and go on as they are handled", async () => {
    const counter = createUnreadCounter();
    if (!counter) throw new Error("Node shares memory with its workers");
    const sent = new Int32Array(new SharedArrayBuffer(4));
    const module = repositoryPath("dist/src/worker/unread-events.js");
    const worker = new Worker(SENDER, { eval: true, workerData: { counter, sent, module } });
    const order: number[] = [];
    let maxAhead = 0;
    const done = new Promise<void>((resolve, reject) => {
      worker.on("error", reject);
      worker.on("message", (event: number) => {
        order.push(event);
        const end = performance.now() + 3; // a slow handler
        while (performance.now() < end) maxAhead = Math.max(maxAhead, Atomics.load(sent, 0) - order.length);
        countHandled(counter);
        if (order.length === EVENTS) resolve();
      });
    });
    await done;
    await worker.terminate();
    expect(order).toEqual(Array.from({ length: EVENTS }, (_, i) => i));
    expect(maxAhead).toBeGreaterThan(4);
    expect(maxAhead).toBeLessThanOrEqual(8);
    expect(Atomics.load(counter, 0)).toBe(0);
  });

  it("are not counted where threads share no memory", () => {
    for (let i = 0; i < 100; i++) countSent(undefined);
    countHandled(undefined);
  });
});
