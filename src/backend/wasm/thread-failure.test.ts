import { afterEach, describe, expect, it, vi } from "vitest";
import { sizesOf } from "../../../test/sizes.ts";
import { createWasmHost } from "../../node/wasm-host.ts";
import { CONTROL_ADDRESS } from "./assembly/layout.ts";
import type { WasmHost } from "./host.ts";
import { wasmFactory } from "./open-wasm.ts";
import type { WasmBackend } from "./wasm-backend.ts";

const SIZES = {
  ...{ numLayers: 1, hiddenSize: 8, intermediateSize: 8, numQueryHeads: 1, numKvHeads: 1, headDim: 4 },
  ...{ vocabSize: 8, rmsNormEps: 1e-6, pageSize: 4, maxPages: 1, maxSequenceLength: 4 },
  ...{ maxBatchRows: 1, maxBatchSequences: 1 },
};
/** Words of control.ts: threads that are inside a job. */
const GATE = (CONTROL_ADDRESS + 128) / 4;

let backend: WasmBackend | undefined;
afterEach(async () => {
  vi.restoreAllMocks();
  await backend?.close();
});

/** A backend of two threads, the second of which runs `then` inside a job that it never leaves. */
async function openWith(then: string): Promise<WasmBackend> {
  const node = createWasmHost();
  const inside = `Atomics.add(new Int32Array(memory.buffer), ${GATE}, 1); ${then}`;
  const host: WasmHost = {
    ...node,
    startWorker: (source, data) =>
      node.startWorker?.(source.replace(/new WebAssembly\.Instance.*;/, inside), data) as never,
  };
  backend = (await wasmFactory(host, { threads: 2, tuning: "default" })(...sizesOf(SIZES))) as WasmBackend;
  const words = new Int32Array(backend.arena.memory.buffer);
  await vi.waitUntil(() => Atomics.load(words, GATE) === 1, 10_000);
  return backend;
}

describe("a thread of the wasm backend", () => {
  it("that dies inside a job ends the job at once, with its reason", async () => {
    const dying = await openWith('throw new RangeError("table index is out of bounds");');
    const why = "the wasm backend failed (thread 1 died: RangeError: table index is out of bounds)";
    expect(() => dying.tune({})).toThrow(`tune: ${why}; open it again, with threads: 1 if it stays`);
    expect(() => dying.tune({})).toThrow(why);
  });

  it("that never finishes its part ends the job after 30 s, with how the job stood", async () => {
    const stuck = await openWith("Atomics.wait(new Int32Array(memory.buffer), 0, 0);");
    let clock = 0;
    vi.spyOn(performance, "now").mockImplementation(() => {
      clock += 100;
      return clock;
    });
    expect(() => stuck.tune({})).toThrow(
      "tune: the wasm backend failed (1 of its threads did not finish a job of 2 items, 2 of them taken, in 30 s)",
    );
    expect(clock).toBeGreaterThanOrEqual(30_000);
    expect(clock).toBeLessThan(32_000);
  });
});
