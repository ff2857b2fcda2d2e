/** Prefill through the engine, on a device with scripted times: a step takes a fixed time per row, and steps run in order. */
import { afterEach, expect, test, vi } from "vitest";
import type { Backend, BackendFactory, StepBatch } from "../../src/backend/backend.ts";
import { createReferenceBackend } from "../../src/backend/reference/reference-backend.ts";
import { openTiny } from "./tiny-engine.ts";

const MS_PER_ROW = 0.5;
const SIZES = { maxPages: 300, maxSequenceLength: 600, maxBatchRows: 512 };
const request = { temperature: 0, ignoreEos: true } as const;
const prompt = (length: number) => Array.from({ length }, (_, i) => 3 + ((i * 53) % 300));

afterEach(() => {
  vi.useRealTimers();
});

interface RanStep {
  readonly rows: number;
  readonly hasDecode: boolean;
  readonly ms: number;
}

/** Wraps a backend so that it answers at the end of the step on an imaginary device. */
function scripted(steps: RanStep[]): BackendFactory {
  return async (model, capacity): Promise<Backend> => {
    const backend = await createReferenceBackend(model, capacity);
    const beginStep = backend.beginStep.bind(backend);
    const sample = backend.sample.bind(backend);
    let [busyUntil, stepMs] = [0, 0];
    backend.beginStep = (batch: StepBatch) => {
      const counts = batch.rowCounts.subarray(0, batch.numSequences);
      stepMs = batch.numRows * MS_PER_ROW;
      steps.push({ rows: batch.numRows, hasDecode: counts.includes(1), ms: stepMs });
      beginStep(batch);
    };
    backend.sample = (logits, rows) => {
      const sampled = sample(logits, rows);
      busyUntil = Math.max(busyUntil, performance.now()) + stepMs;
      const arrival = new Promise((resolve) => setTimeout(resolve, busyUntil - performance.now()));
      return { tokens: () => arrival.then(() => sampled.tokens()) };
    };
    return backend;
  };
}

/** Advances the clock until the work is done. */
async function play<T>(work: Promise<T>): Promise<T> {
  let isDone = false;
  const done = work.finally(() => {
    isDone = true;
  });
  for (let ms = 0; !isDone && ms < 20_000; ms++) await vi.advanceTimersByTimeAsync(1);
  return done;
}

test("a prompt alone runs in the backend's chunks; no chunk stalls a decoding request beyond the limit", async () => {
  vi.useFakeTimers({ toFake: ["performance", "setTimeout"] });
  const steps: RanStep[] = [];
  const options = { runsAhead: true, prefillRows: 512, maxStallMs: 20, sizes: SIZES };
  const engine = await openTiny(scripted(steps), options);
  const alone = engine.generate({ ...request, tokenIds: prompt(560), maxTokens: 1 });
  await play(alone.result());
  expect(steps.map(({ rows }) => rows)).toEqual([256, 256, 48]);

  steps.length = 0;
  const decoding = engine.generate({ ...request, tokenIds: prompt(8), maxTokens: 120 });
  const other = engine.generate({ ...request, tokenIds: prompt(400), maxTokens: 2, cacheSalt: "other" });
  const [first, second] = await play(Promise.all([decoding.result(), other.result()]));
  expect([first.tokenIds.length, second.tokenIds.length]).toEqual([120, 2]);
  const beside = steps.filter(({ hasDecode, rows }) => hasDecode && rows > 2);
  expect(beside.length).toBeGreaterThan(3);
  // the first two have the default size, 64 rows, and one decode row
  expect(Math.max(...beside.map(({ rows }) => rows))).toBeLessThanOrEqual(65);
  for (const { ms } of beside.slice(2)) expect(ms).toBeLessThanOrEqual(20);
  expect(Math.max(...beside.slice(2).map(({ ms }) => ms))).toBeGreaterThan(10);
  await play(engine.close());
});
