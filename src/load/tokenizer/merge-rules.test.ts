import { expect, test } from "vitest";
import { ModelFileError } from "../../base/errors.ts";
import { CachedMerges } from "./cached-merges.ts";
import { listedMerges, scoredMerges } from "./merge-rules.ts";

type Pair = readonly [left: string, right: string];

/** `generate_merges` of transformers: each token split at each place, sorted by score, then by the lengths of the parts. */
function listOf(tokens: readonly string[], scores: readonly number[]): Pair[] {
  const pairs = tokens.flatMap((token, id) => {
    const points = Array.from(token);
    const splits = points
      .slice(1)
      .map((_, i) => [points.slice(0, i + 1).join(""), points.slice(i + 1).join("")] as const);
    return splits
      .filter((pair) => pair.every((part) => tokens.includes(part)))
      .map((pair) => ({ pair, key: [scores[id] ?? 0, ...pair.map((part) => Array.from(part).length)] }));
  });
  const compare = (a: readonly number[], b: readonly number[]) =>
    a.map((value, i) => (b[i] ?? 0) - value).find((difference) => difference !== 0) ?? 0;
  return pairs.sort((a, b) => compare(a.key, b.key)).map(({ pair }) => pair);
}

/** Tokens over few letters, one of them beyond U+FFFF, so that most joined texts are tokens, too. */
function randomTokens(random: () => number): string[] {
  const letters = ["a", "b", "▁", "𝒳"];
  const pick = () => letters[Math.floor(random() * letters.length)] ?? "";
  const made = new Set(letters);
  while (made.size < 120) made.add(Array.from({ length: 1 + Math.floor(random() * 5) }, pick).join(""));
  return [...made];
}

const generator = (seed: number) => () => {
  seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
  return seed / 2 ** 32;
};

test.each([
  1, 2, 3,
])("scores order the merges as the sorted list of transformers, with %i tokens to a score", (size) => {
  for (let seed = 1; seed <= 20; seed++) {
    const random = generator(seed * 7 + size);
    const tokens = randomTokens(random);
    const scores = tokens.map((_, id) => -Math.floor(((id * 77) % tokens.length) / (size * size)));
    const vocabulary = new Map(tokens.map((token, id) => [token, id]));
    const merges = new CachedMerges(tokens, vocabulary, scoredMerges(tokens, scores));
    const idOf = (token: string) => vocabulary.get(token) ?? -1;
    const list = listOf(tokens, scores);
    const ranks = list.map(([left, right]) => merges.rank(idOf(left), idOf(right)));
    expect(list.length).toBeGreaterThan(50);
    expect(ranks).toEqual(ranks.toSorted((a, b) => a - b));
    expect(new Set(ranks).size).toBe(ranks.length);
    for (const [left, right] of list) expect(tokens[merges.made(idOf(left), idOf(right))]).toBe(left + right);
    const all = tokens.flatMap((left) => tokens.map((right): Pair => [left, right]));
    expect(all.filter(([left, right]) => merges.rank(idOf(left), idOf(right)) >= 0)).toHaveLength(
      list.length,
    );
  }
});

test("without scores the lower id merges first, and of one token the longer left part", () => {
  const tokens = ["a", "aaa", "aa", "b", "ab", "aab"];
  const rule = scoredMerges(tokens);
  const pairs: Pair[] = [
    ["aa", "a"],
    ["a", "aa"],
    ["a", "a"],
    ["a", "b"],
    ["aa", "b"],
    ["a", "ab"],
  ];
  const ranks = pairs.map(([left, right]) => rule(left, right, tokens.indexOf(left + right)));
  expect(ranks).toEqual(ranks.toSorted((a, b) => a - b));
  expect(rule("b", "a", undefined)).toBe(-1);
});

test("listed merges rank by their place, the last of equal ones, and must lead to a token", () => {
  const rule = listedMerges(["a b", "b c", "a b"], "model.gguf, merges");
  expect([rule("a", "b", 5), rule("b", "c", 6), rule("c", "b", undefined)]).toEqual([2, 1, -1]);
  expect(() => rule("b", "c", undefined)).toThrow(ModelFileError);
  expect(() => rule("b", "c", undefined)).toThrow(
    'reading model.gguf, merges: merge 1, "b c", leads to no token',
  );
});
