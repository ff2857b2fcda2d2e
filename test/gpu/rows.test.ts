import { expect, test } from "vitest";
import { ConfigError } from "../../src/base/errors.ts";
import { GpuRows, parseShard, shardOf } from "./rows.ts";

test.each<[string, number, number, boolean]>([
  ["at its bound", 1e-7, 1e-7, true],
  ["past its bound", 2e-7, 1e-7, false],
  ["0 of choices that must be the same", 0, 0, true],
  ["one choice that differs", 1, 0, false],
  ["NaN", Number.NaN, 1e-7, false],
  ["infinite", Number.POSITIVE_INFINITY, 1e-7, false],
])("an error: %s", (_, error, bound, isRight) => {
  const lines: string[] = [];
  const rows = new GpuRows((line) => lines.push(line));
  rows.add("prefill", "all", { error, bound });
  expect(rows.all[0]?.isRight).toBe(isRight);
  expect(rows.numFailed).toBe(isRight ? 0 : 1);
  expect(lines[0]).toMatch(isRight ? /^ok {4} prefill: all: / : /^FAILED prefill: all: /);
});

test("the worst row of a section is the one nearest to its bound, and NaN is worse than all", () => {
  const rows = new GpuRows(() => {});
  rows.add("a", "large but allowed", { error: 1e-3, bound: 1 });
  rows.add("a", "small and near", { error: 9e-8, bound: 1e-7 });
  rows.add("b", "failed", { error: 5, bound: 0 });
  rows.add("b", "no number", { error: Number.NaN, bound: 1 });
  rows.add("b", "failed by less", { error: 2, bound: 0 });
  expect(rows.worst.map(({ name }) => name)).toEqual(["small and near", "no number"]);
});

test.each([1, 2, 3, 8])("%i shards have every task once, in order", (of) => {
  const tasks = Array.from({ length: 7 }, (_, i) => ({ name: String(i), run: async () => {} }));
  const shards = Array.from({ length: of }, (_, i) => shardOf(tasks, parseShard(`${i + 1}/${of}`)));
  for (const shard of shards) expect([...shard].sort((a, b) => a.name.localeCompare(b.name))).toEqual(shard);
  expect(new Set(shards.flat())).toEqual(new Set(tasks));
  expect(shards.flat()).toHaveLength(tasks.length);
  const sizes = shards.map(({ length }) => length);
  expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1);
});

test.each(["0/2", "3/2", "1", "a/b", "1/2/3", "", "-1/2", "1/0"])("no shard: %s", (text) => {
  expect(() => parseShard(text)).toThrow(ConfigError);
  expect(() => parseShard(text)).toThrow(`--shard ${text}: expected I/N`);
});
