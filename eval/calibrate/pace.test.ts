import { expect, it } from "vitest";
import { Pace } from "./pace.ts";

it("allows as many settings as fit into a share of the time left, beside full attention", () => {
  let now = 0;
  const pace = new Pace(1, () => now);
  const text = { tokens: 1000, steps: 50 };
  expect(pace.settingsWithin(0.5, text)).toBe(Number.POSITIVE_INFINITY);
  // 10 ms a token of the prompt, 20 ms a row
  pace.took({ prefillMs: 5000, decodeMs: 2000 }, { tokens: 500, rows: 100 });
  // half of 60 s, less 10 s, at 1 s a setting, less one
  expect(pace.settingsWithin(0.5, text)).toBe(19);
  now = 30_000;
  expect(pace.settingsWithin(0.5, text)).toBe(4);
  now = 59_000;
  expect(pace.settingsWithin(0.5, text)).toBe(0);
});

it("has no end without minutes", () => {
  const pace = new Pace(Number.POSITIVE_INFINITY);
  pace.took({ prefillMs: 1, decodeMs: 1 }, { tokens: 1, rows: 1 });
  expect(pace.settingsWithin(0.5, { tokens: 1e9, steps: 1e9 })).toBe(Number.POSITIVE_INFINITY);
});
