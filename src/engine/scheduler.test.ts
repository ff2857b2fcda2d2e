import { expect, test } from "vitest";
import { chunkOf, type SchedulerEntry, schedule } from "./scheduler.ts";

const entry = (cachedTokens: number, promptTokens: number, more: Partial<SchedulerEntry> = {}) => ({
  cachedTokens,
  promptTokens,
  isPaused: false,
  isFullySampled: false,
  ...more,
});
const limits = { maxRows: 64, maxSequences: 4, maxPrefillRows: 64 };
const rowsOf = (entries: readonly SchedulerEntry[], some: Partial<typeof limits> = {}) =>
  schedule(entries, { ...limits, ...some }).map(({ entry: one, numRows, isPrefill }) => [
    entries.indexOf(one),
    numRows,
    isPrefill,
  ]);

test.each<[string, readonly SchedulerEntry[], Partial<typeof limits>, unknown]>([
  ["nothing from nothing", [], {}, []],
  [
    "decoders one row each",
    [entry(5, 5), entry(9, 3)],
    {},
    [
      [0, 1, false],
      [1, 1, false],
    ],
  ],
  [
    "decoders before prompts, prompts oldest first",
    [entry(0, 20), entry(5, 5), entry(0, 30)],
    {},
    [
      [1, 1, false],
      [0, 20, true],
      [2, 30, true],
    ],
  ],
  ["a prompt in chunks of eights", [entry(0, 100)], {}, [[0, 64, true]]],
  [
    "beside decoders, too",
    [entry(0, 100), entry(3, 3)],
    {},
    [
      [1, 1, false],
      [0, 56, true],
    ],
  ],
  ["no rest smaller than eight", [entry(0, 68)], {}, [[0, 56, true]]],
  ["a last chunk whole", [entry(56, 68)], {}, [[0, 12, true]]],
  ["prefill within its own limit", [entry(0, 100), entry(0, 100)], { maxPrefillRows: 32 }, [[0, 32, true]]],
  [
    "two short prompts within it",
    [entry(0, 10), entry(0, 10)],
    { maxPrefillRows: 32 },
    [
      [0, 10, true],
      [1, 10, true],
    ],
  ],
  [
    "the paused and the finished rest",
    [entry(5, 5, { isPaused: true }), entry(5, 5, { isFullySampled: true }), entry(0, 5, { isPaused: true })],
    {},
    [],
  ],
  [
    "at most so many sequences",
    [entry(1, 1), entry(1, 1), entry(1, 1)],
    { maxSequences: 2 },
    [
      [0, 1, false],
      [1, 1, false],
    ],
  ],
  ["at most so many rows", [entry(1, 1), entry(0, 9)], { maxRows: 1 }, [[0, 1, false]]],
  [
    "few rows at a time where there are few",
    [entry(0, 20)],
    { maxRows: 4, maxPrefillRows: 4 },
    [[0, 4, true]],
  ],
])("%s", (_, entries, some, expected) => {
  expect(rowsOf(entries, some)).toEqual(expected);
});

test("however a prompt is cut, all of it is scheduled, in chunks of at least eight where there is room", () => {
  for (let length = 1; length < 90; length++)
    for (const most of [1, 3, 8, 15, 16, 17, 40]) {
      let left = length;
      for (let steps = 0; left > 0; steps++) {
        const rows = chunkOf(left, most);
        expect(rows).toBeGreaterThan(0);
        expect(rows).toBeLessThanOrEqual(Math.min(left, most));
        if (most >= 16 && length >= 8) expect(rows).toBeGreaterThanOrEqual(8);
        left -= rows;
        expect(steps).toBeLessThan(100);
      }
    }
});
