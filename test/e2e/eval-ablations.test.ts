/** `lessismore eval ablations` as people run it: the built command line on the bundled model. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { run, TestFolder } from "./command-line.ts";

const folder = new TestFolder();
afterAll(() => folder.remove());

const ablate = (vary: string, ...args: readonly string[]) =>
  run([
    ...["eval", "ablations", "--vary", vary, "--tasks", "registers-chain", "--length", "224"],
    ...["--problems", "2", "--backend", "wasm", "--attention", "less-is-more:budget=48,layers=2+7"],
    ...["--out", folder.path, ...args],
  ]);

const linesOf = (file: string) => readFileSync(join(folder.path, file), "utf8").trimEnd().split("\n");

it("makes one table of all values, and reuses what an earlier run measured", async () => {
  const first = await ablate("sets", "--json");
  expect(first).toMatchObject({ status: 0 });
  const { rows, reused, base } = JSON.parse(first.stdout);
  expect([reused, base]).toEqual([0, "less-is-more:budget=48,recency=0.25,sinks=4,layers=2+7"]);
  expect(rows.map(({ value }: { value: string }) => value)).toEqual(["", "all", "kv", "head"]);
  const [full, ...sparse] = rows;
  // The model knows its own chains; a quarter of the tokens loses some of that.
  expect(full.wrongTokens.value).toBeLessThan(1);
  for (const row of sparse) expect(row.overFull.value).toBeCloseTo(row.score.value - full.score.value, 9);
  const [all, kv, head] = sparse.map(
    (row: { attendedFraction: { value: number } }) => row.attendedFraction.value,
  );
  // Heads with a set of their own share no rows of the cache, so that they can read more than it has.
  expect([all < 1, kv, head > 1]).toEqual([true, all, true]);
  // one set for all, one a kv head and one a head read other tokens
  expect(new Set(sparse.map(({ score }: { score: { value: number } }) => score.value)).size).toBe(3);
  expect(linesOf("attempts.jsonl")).toHaveLength(2 * 4);

  const second = await ablate("sets,sinks");
  expect(second).toMatchObject({ status: 0 });
  const kept = linesOf("attempts.jsonl");
  // sinks 0, 1, 2 and 8 are new; 4 is the base
  expect(kept).toHaveLength(2 * 8);
  expect(second.stdout).toContain("sinks    4 (base)");
  expect(linesOf("ablations.md")).toHaveLength(2 + 1 + 3 + 5);
  const again = JSON.parse(readFileSync(join(folder.path, "ablations.json"), "utf8"));
  const isOfBoth = ({ factor }: { factor: string }) => factor !== "sinks";
  expect(again.rows.filter(isOfBoth)).toEqual(rows);
});

it("refuses what it cannot vary", async () => {
  const unknown = await ablate("heads");
  expect(unknown).toMatchObject({ status: 2 });
  expect(unknown.stderr).toContain('unknown setting "heads"; known are layers, recency, sinks, sets, budget');
  const other = await run(["eval", "ablations", "--attention", "quest:budget=64", "--out", folder.path]);
  expect(other).toMatchObject({ status: 2 });
  expect(other.stderr).toContain("ablations change the settings of less-is-more, got quest:budget=64");
});
