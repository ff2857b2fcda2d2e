import * as fc from "fast-check";
import { expect, test } from "vitest";
import { StopText } from "./stop-text.ts";

/** A stream of texts; only some of them count. */
type Stream = readonly (readonly [text: string, counts: boolean])[];

/** Returns the first-ending match with a character that counts, by definition. */
function expected(stops: readonly string[], stream: Stream): number | undefined {
  const text = stream.map(([piece]) => piece).join("");
  const counts = stream.flatMap(([piece, count]) => Array<boolean>(piece.length).fill(count));
  for (let end = 1; end <= text.length; end++) {
    const starts = stops
      .map((stop) => end - stop.length)
      .filter(
        (at, i) => at >= 0 && text.startsWith(stops[i] ?? "", at) && counts.slice(at, end).includes(true),
      );
    if (starts.length > 0) return Math.min(...starts);
  }
  return undefined;
}

const letters = (maxLength: number, minLength = 0) =>
  fc.array(fc.constantFrom("a", "b"), { minLength, maxLength }).map((all) => all.join(""));

test("the first match that counts is found, for every split of the stream", () => {
  fc.assert(
    fc.property(
      fc.array(letters(5, 1), { maxLength: 4 }),
      fc.array(fc.tuple(letters(6), fc.boolean()), { maxLength: 8 }),
      (stops, stream) => {
        const found = expected(stops, stream);
        const whole = new StopText(stops);
        const single = new StopText(stops);
        for (const [text, counts] of stream) {
          whole.push(text, counts);
          for (const character of text) single.push(character, counts);
        }
        expect([whole.foundAt, single.foundAt]).toEqual([found, found]);
      },
    ),
    { numRuns: 2000 },
  );
});

test("the safe length stays before every possible stop text, and all text is released at the end", () => {
  fc.assert(
    fc.property(fc.array(letters(5, 1), { minLength: 1, maxLength: 3 }), letters(30), (stops, text) => {
      const stop = new StopText(stops);
      let safe = 0;
      for (const character of text) {
        stop.push(character, true);
        expect(stop.safeLength).toBeGreaterThanOrEqual(safe);
        safe = stop.safeLength;
      }
      const longest = Math.max(...stops.map(({ length }) => length));
      if (stop.foundAt === undefined) expect(text.length - safe).toBeLessThan(longest);
      else expect(safe).toBe(stop.foundAt);
    }),
    { numRuns: 1000 },
  );
});

test("a long stop text that nearly matches many times takes linear time", () => {
  const stop = new StopText([`${"a".repeat(20_000)}b`]);
  stop.push("a".repeat(200_000), true);
  expect(stop.safeLength).toBe(180_000);
  stop.push("b", true);
  expect(stop.foundAt).toBe(180_000);
});

test("a stop text that ends while the search is not armed passes unnoticed; one that began then and ends later does not", () => {
  const stop = new StopText(["ab"]);
  stop.isArmed = false;
  stop.push("abxa", true);
  expect(stop.foundAt).toBeUndefined();
  expect(stop.safeLength).toBe(3);
  stop.isArmed = true;
  stop.push("bab", true);
  expect(stop.foundAt).toBe(3);
});
