/** Waiting for the device: few turns of the event loop, none of them long, and the right tokens whenever they are asked for. */
import { describe, expect, it } from "vitest";
import { webGpuFactory } from "../../src/backend/webgpu/open-webgpu.ts";
import { napWhilePending, sleepUntil, waitWithFewPolls } from "../../src/backend/webgpu/patient-wait.ts";
import { sizesOf } from "../sizes.ts";
import { webgpuForTests } from "./environment.ts";

const { gpu } = await webgpuForTests();

/** Turns of the event loop until `work` is done. */
async function turnsOf(work: Promise<unknown>): Promise<number> {
  let turns = 0;
  let isDone = false;
  const count = () => {
    turns++;
    if (!isDone) setImmediate(count);
  };
  setImmediate(count);
  await work;
  isDone = true;
  return turns;
}

const after = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

describe("waiting with few polls", () => {
  it("naps between the turns of the event loop, and says that the answer was still to come", async () => {
    let wasPending: boolean | undefined;
    const waiting = waitWithFewPolls(after(40)).then((was) => {
      wasPending = was;
    });
    // without naps a turn takes a few microseconds
    expect(await turnsOf(waiting)).toBeLessThan(40 / 0.1);
    expect(wasPending).toBe(true);
  });

  it("says of an answer that was there already that it was", async () => {
    expect(await waitWithFewPolls(Promise.resolve())).toBe(false);
  });

  it("passes an error on", async () => {
    await expect(waitWithFewPolls(after(5).then(() => Promise.reject(new Error("lost"))))).rejects.toThrow(
      "lost",
    );
  });

  it.each([1, 16])("naps a little for %d waits beside which others work", async (count) => {
    const waits = Array.from({ length: count }, () => after(40));
    for (const wait of waits) napWhilePending(wait);
    const turns = await turnsOf(Promise.all(waits));
    expect(turns).toBeLessThan(40 / 0.1);
    expect(turns).toBeGreaterThan(20); // with naps of half a millisecond for each wait: 5
  });

  it.each([0.4, 1.3, 6.6])("sleeps %d ms, not less, and leaves the event loop its turns", async (ms) => {
    const started = performance.now();
    let turns = 0;
    const timer = setInterval(() => turns++, 1);
    await sleepUntil(started + ms);
    clearInterval(timer);
    expect(performance.now() - started).toBeGreaterThanOrEqual(ms - 0.1);
    if (ms > 5) expect(turns).toBeGreaterThan(0);
  });
});

it.skipIf(gpu === undefined)(
  "sixty samples, each asked for while the next one runs and every fifth never: all tokens are their own",
  async () => {
    const adapter = (await gpu?.requestAdapter()) as GPUAdapter;
    const backend = await webGpuFactory(adapter, { cacheDtype: "f32" })(...sizesOf());
    const { vocabSize } = backend.model;
    const logits = backend.createTensor("f32", [8, vocabSize]);
    const params = { temperature: 0, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1, seed: 1 };
    const sample = (id: number) => {
      backend.write(logits, new Float32Array(vocabSize).fill(3, id, id + 1));
      return backend.sample(logits, [{ params, sampleIndex: 0, seenTokens: [] }]);
    };
    const read: number[] = [];
    const expected: number[] = [];
    let before = sample(0);
    for (let i = 1; i <= 60; i++) {
      const next = sample((i * 7) % vocabSize);
      if (i % 5 !== 0) {
        expected.push(((i - 1) * 7) % vocabSize);
        read.push(...(await before.tokens()));
      }
      before = next;
    }
    expect(read).toEqual(expected);
    await backend.close();
  },
);
