import fc from "fast-check";
import { expect, it, test } from "vitest";
import { cellsOf, lineOf, StripLayout } from "./strip-layout.ts";

const SIZES = { columns: 10, cellWidth: 7, rowHeight: 20 };

function layoutOf(cells: readonly number[]): StripLayout {
  const layout = new StripLayout(SIZES);
  for (const one of cells) layout.add(one);
  return layout;
}

test("tokens run from left to right without gaps, and none is cut by a row's end", () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 14 }), { minLength: 1, maxLength: 80 }), (cells) => {
      const layout = layoutOf(cells);
      const places = cells.map((_, position) => layout.placeOf(position));
      for (const [position, { row, column, cells: taken }] of places.entries()) {
        expect(taken).toBe(Math.min(10, cells[position] ?? 0));
        expect(column + taken).toBeLessThanOrEqual(10);
        const before = places[position - 1];
        if (!before) expect([row, column]).toEqual([0, 0]);
        else if (before.row === row) expect(column).toBe(before.column + before.cells);
        else {
          expect([row, column]).toEqual([before.row + 1, 0]);
          expect(before.column + before.cells + taken).toBeGreaterThan(10);
        }
        // a point in a token's middle finds it
        expect(layout.positionAt((column + taken / 2) * 7, row * 20 + 10)).toBe(position);
        expect(layout.rowStart(row)).toBeLessThanOrEqual(position);
        expect(layout.rowStart(row + 1)).toBeGreaterThan(position);
      }
      expect(layout.height).toBe(20 * ((places.at(-1)?.row ?? 0) + 1));
    }),
  );
});

it("finds nothing above and below the rows, and the last token of a row beside it", () => {
  const layout = layoutOf([4, 4, 4]);
  expect(layout.positionAt(5, -1)).toBeUndefined();
  expect(layout.positionAt(5, 41)).toBeUndefined();
  expect(layout.positionAt(69, 5)).toBe(1);
  expect(layout.positionAt(69, 25)).toBe(2);
  expect(() => layout.placeOf(3)).toThrow("tokens 0 to 2");
});

test("a line shows what cannot be seen, and counts wide characters twice", () => {
  expect(lineOf("a\r\nb\t")).toBe("a↵b⇥");
  expect(lineOf("")).toBe("·");
  expect([cellsOf("ab c"), cellsOf("中a"), cellsOf("😀")]).toEqual([4, 3, 2]);
});
