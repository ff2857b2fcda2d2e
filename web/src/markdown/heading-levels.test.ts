import { expect, test } from "vitest";
import { HeadingLevels } from "./heading-levels.ts";

test.each([
  ["the depths of a model that skips some", [3, 4, 3, 6, 2, 4], [2, 3, 2, 3, 2, 3]],
  ["one below the other, down to the lowest", [1, 2, 3, 4, 5, 6], [2, 3, 4, 5, 6, 6]],
])("levels skip none: %s", (_, depths, expected) => {
  const levels = new HeadingLevels();
  expect(depths.map((depth) => levels.next(depth))).toEqual(expected);
});
