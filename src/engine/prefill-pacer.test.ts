import { expect, test } from "vitest";
import { PrefillPacer } from "./prefill-pacer.ts";

/** Largest step, in milliseconds, of a prompt on a machine of a speed, and the number of steps. */
function run(msPerRow: (position: number) => number, promptTokens: number) {
  const pacer = new PrefillPacer(250, 256);
  let [longest, steps] = [0, 0];
  for (let done = 0; done < promptTokens; steps++) {
    const rows = Math.min(pacer.rows, promptTokens - done);
    const elapsed = rows * msPerRow(done);
    longest = Math.max(longest, elapsed);
    pacer.record(rows, elapsed);
    done += rows;
  }
  return { longest, steps };
}

test.each<[string, (position: number) => number, number]>([
  ["a fast machine takes whole batches soon", () => 0.2, 18],
  ["a slow one takes what fits into the limit", () => 5, 120],
  ["attention that grows with the prompt", (position) => 0.5 + position / 1000, 80],
])("%s", (_, msPerRow, mostSteps) => {
  const { longest, steps } = run(msPerRow, 4096);
  expect(longest).toBeLessThanOrEqual(250);
  expect(steps).toBeLessThanOrEqual(mostSteps);
});

test("sixteen rows are the least, however slow", () => {
  const pacer = new PrefillPacer(250, 256);
  pacer.record(16, 10_000);
  expect(pacer.rows).toBe(16);
  pacer.record(16, 0);
  expect(pacer.rows).toBe(64);
});

test("a batch smaller than sixteen rows is the limit", () => {
  const pacer = new PrefillPacer(250, 4);
  expect(pacer.rows).toBe(4);
  pacer.record(4, 0);
  expect(pacer.rows).toBe(4);
});
