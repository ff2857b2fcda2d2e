import { expect, it } from "vitest";
import { ConfigError } from "../../src/node/index.ts";
import { cutTexts } from "./texts.ts";

const numbers = (count: number) => Array.from({ length: count }, (_, i) => i);
const steps = [10, 10, 20];

it("cuts texts that share nothing where there are tokens enough", () => {
  const texts = cutTexts(numbers(1000), { prefix: 100, steps }, "a file");
  expect(texts.map(({ tokenIds, from }) => [tokenIds[0], from, tokenIds.length])).toEqual([
    [0, 100, 110],
    [110, 100, 110],
    [220, 100, 120],
  ]);
});

it.each([140, 141, 200, 330, 339])("of %i tokens no forced one is forced twice", (count) => {
  const texts = cutTexts(numbers(count), { prefix: 100, steps }, "a file");
  expect(texts.map(({ tokenIds, from }) => tokenIds.length - from)).toEqual(steps);
  const forced = texts.flatMap(({ tokenIds, from }) => tokenIds.slice(from));
  expect(new Set(forced).size).toBe(40);
  for (const { tokenIds, from } of texts) {
    expect(from).toBe(100);
    expect(tokenIds).toEqual(numbers(tokenIds.length).map((i) => i + (tokenIds[0] ?? -1)));
  }
});

it("says how much is missing of a text that is too short", () => {
  expect(() => cutTexts(numbers(139), { prefix: 100, steps }, "a file")).toThrow(ConfigError);
  expect(() => cutTexts(numbers(139), { prefix: 100, steps }, "a file")).toThrow(
    /a file has 139 tokens; calibration takes 140/,
  );
});
