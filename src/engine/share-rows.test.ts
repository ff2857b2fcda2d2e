import fc from "fast-check";
import { expect, test } from "vitest";
import { CHUNK_ROWS, shareRows } from "./share-rows.ts";

const limits = { maxRows: 64, spareRows: 0, maxPrompts: 16 };

test.each<[string, readonly number[], Partial<typeof limits>, readonly number[]]>([
  ["a prompt alone gets all rows", [6000], {}, [64]],
  ["a short prompt is computed whole beside an older long one", [6000, 32], {}, [32, 32]],
  ["so are several", [6000, 20, 12, 9], {}, [16, 20, 12, 9]],
  ["the oldest keeps a quarter however many short ones come", [6000, 40, 40, 40], {}, [16, 40, 8, 0]],
  ["the shortest remainder comes first", [6000, 500, 30], {}, [16, 16, 30]],
  ["of equal ones the older", [6000, 500, 500], {}, [16, 48, 0]],
  ["a prompt no shorter than the oldest waits for it", [500, 500, 600], {}, [64, 0, 0]],
  ["and takes the rows that it leaves", [20, 500], {}, [20, 40]],
  [
    "a part of a prompt is a multiple of eight rows and leaves no less",
    [6000, 52],
    { maxRows: 56 },
    [16, 40],
  ],
  ["the oldest is not cut below eight rows to make room", [12, 10], { maxRows: 16 }, [12, 0]],
  ["at sixteen rows both get half", [6000, 5000], { maxRows: 16 }, [8, 8]],
  ["below sixteen rows the oldest gets all", [6000, 5], { maxRows: 12 }, [8, 0]],
  ["spare rows end a short prompt", [6000, 40], { maxRows: 24, spareRows: 24 }, [8, 40]],
  ["and are for no other", [6000, 41, 300], { maxRows: 24, spareRows: 24 }, [8, 16, 0]],
  ["nor for a prompt above 64 rows", [6000, 65], { maxRows: 56, spareRows: 56 }, [8, 48]],
  ["one prompt alone is the oldest", [6000, 9], { maxPrompts: 1 }, [64, 0]],
  ["two of three places: the shortest has the second", [6000, 500, 30], { maxPrompts: 2 }, [32, 0, 30]],
  ["no rows", [6000, 9], { maxRows: 0 }, [0, 0]],
])("%s", (_, lefts, some, expected) => {
  expect(shareRows(lefts, { ...limits, ...some })).toEqual(expected);
});

test("for any prompts the shares keep the limits, leave no remainder below eight rows, and feed the oldest", () => {
  const anyLefts = fc.array(fc.integer({ min: 1, max: 700 }), { minLength: 1, maxLength: 6 });
  const anyLimits = fc.record({
    maxRows: fc.integer({ min: 1, max: 300 }),
    spareRows: fc.integer({ min: 0, max: 100 }),
    maxPrompts: fc.integer({ min: 1, max: 6 }),
  });
  fc.assert(
    fc.property(anyLefts, anyLimits, (lefts, some) => {
      const shares = shareRows(lefts, some);
      const total = shares.reduce((sum, rows) => sum + rows, 0);
      expect(total).toBeLessThanOrEqual(some.maxRows + some.spareRows);
      expect(shares.filter((rows) => rows > 0).length).toBeLessThanOrEqual(some.maxPrompts);
      const [oldest = 0] = lefts;
      const [share = 0] = shares;
      // a quarter, in chunks of eight that may leave one more for the remainder
      const fair = Math.min(oldest, Math.max(1, Math.floor(some.maxRows / 4) - 2 * CHUNK_ROWS));
      expect(share).toBeGreaterThanOrEqual(fair);
      for (const [i, rows] of shares.entries()) {
        const left = (lefts[i] ?? 0) - rows;
        if (some.maxRows < 2 * CHUNK_ROWS || rows === 0 || left === 0) continue;
        expect(rows % CHUNK_ROWS).toBe(0);
        expect(left).toBeGreaterThanOrEqual(CHUNK_ROWS);
      }
      // none that gets nothing is shorter than one that gets a part
      for (const [i, rows] of shares.entries())
        if (i > 0 && rows > 0 && rows < (lefts[i] ?? 0))
          for (const [j, others] of shares.entries())
            if (
              others === 0 &&
              some.maxRows >= 2 * CHUNK_ROWS &&
              shares.filter((one) => one > 0).length < some.maxPrompts
            )
              expect(lefts[j]).toBeGreaterThanOrEqual(lefts[i] ?? 0);
    }),
    { numRuns: 500 },
  );
});
