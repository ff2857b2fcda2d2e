import fc from "fast-check";
import { expect, test } from "vitest";
import { type SchedulerEntry, schedule } from "./scheduler.ts";
import { chunkOf } from "./share-rows.ts";

const entry = (cachedTokens: number, promptTokens: number, more: Partial<SchedulerEntry> = {}) => ({
  cachedTokens,
  promptTokens,
  isPaused: false,
  isFullySampled: false,
  lacksPage: false,
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
  ["no entries give no runs", [], {}, []],
  [
    "each decoding request gets one row",
    [entry(5, 5), entry(9, 3)],
    {},
    [
      [0, 1, false],
      [1, 1, false],
    ],
  ],
  [
    "decoding requests come before prompts, and prompts oldest first",
    [entry(0, 20), entry(5, 5), entry(0, 30)],
    {},
    [
      [1, 1, false],
      [0, 20, true],
      [2, 30, true],
    ],
  ],
  ["a prompt gets a chunk of a multiple of eight rows", [entry(0, 100)], {}, [[0, 64, true]]],
  [
    "so does a prompt beside decoding requests",
    [entry(0, 100), entry(3, 3)],
    {},
    [
      [1, 1, false],
      [0, 56, true],
    ],
  ],
  ["no remainder has fewer than eight rows", [entry(0, 68)], {}, [[0, 56, true]]],
  ["a last chunk is whole", [entry(56, 68)], {}, [[0, 12, true]]],
  [
    "prefill stays within its own limit",
    [entry(0, 100), entry(0, 100)],
    { maxPrefillRows: 32 },
    [[0, 32, true]],
  ],
  [
    "two short prompts share that limit",
    [entry(0, 10), entry(0, 10)],
    { maxPrefillRows: 32 },
    [
      [0, 10, true],
      [1, 10, true],
    ],
  ],
  [
    "a short prompt is computed whole beside an older long one",
    [entry(400, 6000), entry(0, 30)],
    {},
    [
      [0, 32, true],
      [1, 30, true],
    ],
  ],
  [
    "also beyond the limit of prefill, if nobody decodes",
    [entry(400, 6000), entry(0, 40)],
    { maxPrefillRows: 16 },
    [
      [0, 8, true],
      [1, 40, true],
    ],
  ],
  [
    "but within it beside a request that decodes",
    [entry(400, 6000), entry(0, 30), entry(3, 3)],
    { maxPrefillRows: 24 },
    [
      [2, 1, false],
      [0, 8, true],
      [1, 16, true],
    ],
  ],
  [
    "paused and fully sampled requests get no rows",
    [entry(5, 5, { isPaused: true }), entry(5, 5, { isFullySampled: true }), entry(0, 5, { isPaused: true })],
    {},
    [],
  ],
  [
    "a request that lacks a page waits, and others continue",
    [entry(5, 5, { lacksPage: true }), entry(6, 5), entry(0, 9)],
    {},
    [
      [1, 1, false],
      [2, 9, true],
    ],
  ],
  [
    "a step has at most maxSequences runs",
    [entry(1, 1), entry(1, 1), entry(1, 1)],
    { maxSequences: 2 },
    [
      [0, 1, false],
      [1, 1, false],
    ],
  ],
  ["a step has at most maxRows rows", [entry(1, 1), entry(0, 9)], { maxRows: 1 }, [[0, 1, false]]],
  [
    "a prompt waits if decoding requests fill maxSequences",
    [entry(0, 9), entry(1, 1), entry(1, 1)],
    { maxSequences: 2 },
    [
      [1, 1, false],
      [2, 1, false],
    ],
  ],
  [
    "a prompt is replayed although its last token is sampled",
    [entry(4, 9, { isFullySampled: true })],
    {},
    [[0, 5, true]],
  ],
  ["maxPrefillRows 0 allows no prefill", [entry(0, 9), entry(1, 1)], { maxPrefillRows: 0 }, [[1, 1, false]]],
  [
    "a request that awaits its token leaves its row to the next",
    [entry(5, 5, { awaitsToken: true }), entry(4, 4), entry(0, 5)],
    { maxRows: 2 },
    [
      [1, 1, false],
      [2, 1, true],
    ],
  ],
  [
    "a paused prompt leaves its rows to the next",
    [entry(0, 60, { isPaused: true }), entry(0, 9)],
    { maxPrefillRows: 16 },
    [[1, 9, true]],
  ],
  [
    "a limit below eight rows gives chunks below eight",
    [entry(0, 20)],
    { maxRows: 4, maxPrefillRows: 4 },
    [[0, 4, true]],
  ],
])("%s", (_, entries, some, expected) => {
  expect(rowsOf(entries, some)).toEqual(expected);
});

test("every prompt is scheduled whole, in chunks of at least eight rows if there is room", () => {
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

test("for any requests and limits each step keeps the limits and the order, and all requests end", () => {
  const request = fc.record({
    prompt: fc.integer({ min: 1, max: 40 }),
    tokens: fc.integer({ min: 1, max: 4 }),
  });
  const anyLimits = fc.record({
    maxRows: fc.integer({ min: 1, max: 48 }),
    maxSequences: fc.integer({ min: 1, max: 5 }),
    maxPrefillRows: fc.integer({ min: 1, max: 48 }),
  });
  fc.assert(
    fc.property(fc.array(request, { maxLength: 5 }), anyLimits, (requests, some) => {
      let running = requests.map(({ prompt, tokens }) => ({ ...entry(0, prompt), left: tokens }));
      const most = requests.reduce((sum, { prompt, tokens }) => sum + prompt + tokens, 0);
      for (let step = 0; running.length > 0; step++) {
        // each step has at least one row
        expect(step).toBeLessThan(most);
        const runs = schedule(running, some);
        const prefill = runs.filter(({ isPrefill }) => isPrefill);
        const rows = (of: typeof runs) => of.reduce((sum, { numRows }) => sum + numRows, 0);
        expect(runs.length).toBeLessThanOrEqual(some.maxSequences);
        expect(rows(runs)).toBeLessThanOrEqual(some.maxRows);
        const spare = prefill.length === runs.length ? 2 * some.maxPrefillRows : 0;
        expect(rows(prefill)).toBeLessThanOrEqual(some.maxPrefillRows + spare);
        expect(new Set(runs.map(({ entry: one }) => one)).size).toBe(runs.length);
        expect(runs.map(({ isPrefill }) => isPrefill)).toEqual(
          runs.map((_, i) => i >= runs.length - prefill.length),
        );
        for (const of of [prefill, runs.filter(({ isPrefill }) => !isPrefill)]) {
          const places = of.map(({ entry: one }) => running.indexOf(one));
          expect(places).toEqual([...places].sort((a, b) => a - b));
        }
        const rowsBy = new Map(runs.map(({ entry: one, numRows }) => [one, numRows]));
        running = running
          .map((one) => {
            const cachedTokens = one.cachedTokens + (rowsBy.get(one) ?? 0);
            // a step that ends a prompt samples the first token
            const isSampled = rowsBy.has(one) && cachedTokens >= one.promptTokens;
            return { ...one, cachedTokens, left: one.left - (isSampled ? 1 : 0) };
          })
          .filter(({ left }) => left > 0);
      }
    }),
    { numRuns: 100 },
  );
});
