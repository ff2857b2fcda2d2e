/** `lessismore eval grade` as people run it: grades of a run without its model, and files of others. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { run, TestFolder } from "./command-line.ts";

const folder = new TestFolder();
afterAll(() => folder.remove());

const runAs = (name: string, ...extra: readonly string[]) => {
  const out = join(folder.path, name);
  const { status, stdout, stderr } = run([
    ...[
      "eval",
      "--tasks",
      "registers,graph,needle",
      "--length",
      "224",
      "--problems",
      "6",
      "--backend",
      "wasm",
    ],
    ...["--attention", "full", "--attention", "streaming-llm:budget=64", "--max-tokens", "80"],
    ...["--temperature", "0.9", ...extra, "--out", out, "--json"],
  ]);
  expect(status, stderr).toBe(0);
  return { out, cells: JSON.parse(stdout).cells };
};
const grade = (...args: readonly string[]) => {
  const { status, stdout, stderr } = run(["eval", "grade", ...args, "--json"]);
  expect(status, stderr).toBe(0);
  return { result: JSON.parse(stdout), stderr };
};
interface Row {
  readonly [key: string]: unknown;
}
const rowsOf = (path: string): Row[] =>
  readFileSync(path, "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));

let strict: ReturnType<typeof runAs>;
beforeAll(() => {
  strict = runAs("strict");
}, 60_000);

describe("eval grade", () => {
  it("gives the rows of a run the grades that they have: same verdicts, answers, rules, and table", () => {
    const { result, stderr } = grade(strict.out);
    const path = join(strict.out, "attempts.graded-strict.jsonl");
    expect(result.files).toMatchObject([{ out: path, responses: 24, skipped: { forced: 12, replaced: 0 } }]);
    expect(result.agreement).toEqual({ graded: 24, same: 24, changes: [] });
    const [before, after] = [rowsOf(join(strict.out, "attempts.jsonl")), rowsOf(path)];
    const bare = ({ grader: _, answerKind: __, before: ___, ...row }: Row) => row;
    expect(after.map(bare)).toEqual(before.filter((row) => row.finishReason !== "scored"));
    expect(after.filter(({ score }) => score === 1).length).toBeGreaterThan(2);
    expect(after.some(({ rule }) => rule === "unfinished reasoning")).toBe(true);
    const scores = (cells: readonly Row[]) =>
      cells
        .filter(({ task }) => task !== "needle")
        .map(({ task, attention, accuracy, generationTokens }) => ({
          task,
          attention,
          accuracy,
          generationTokens,
        }));
    expect(scores(result.cells)).toEqual(scores(strict.cells));
    expect(stderr).toContain("12 rows of forced tokens left out");
  }, 60_000);

  it("grades a run as one with --grader reference would have, and says what changed", () => {
    const reference = runAs("reference", "--grader", "reference");
    const { result } = grade(strict.out, "--grader", "reference", "--out", join(folder.path, "graded"));
    const verdicts = (rows: readonly Row[]) =>
      rows
        .filter(({ task }) => task !== "needle")
        .map(({ task, problemId, attention, score, extracted, rule }) =>
          JSON.stringify({ task, problemId, attention, score, extracted, rule }),
        )
        .sort();
    const after = rowsOf(join(folder.path, "graded", "attempts.graded-reference.jsonl"));
    expect(verdicts(after)).toEqual(verdicts(rowsOf(join(reference.out, "attempts.jsonl"))));
    const { graded, same, changes } = result.agreement;
    expect(same + changes.length).toBe(graded);
    const changed = after.filter(({ score, before }) => (score === 1) !== (before as Row).isCorrect);
    expect(changes).toHaveLength(changed.length);
  }, 60_000);

  it("finds the answers of rows that do not say where the reasoning ends", () => {
    const rows = rowsOf(join(strict.out, "attempts.jsonl")).map(({ answerChars: _, ...row }) => row);
    const path = folder.file("old.jsonl", rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
    const { result, stderr } = grade(path);
    expect(result.agreement).toEqual({ graded: 24, same: 24, changes: [] });
    expect(stderr).toContain("the prompts open the reasoning");
  }, 60_000);

  it("prints the table, the agreement and the changed verdicts of files of others, and overwrites none of them", () => {
    const path = folder.file(
      "theirs.jsonl",
      '{"id":"p1","response":"so 700","answer":"7","correct":false}\n{"id":"p2","response":"\\\\boxed{5}","answer":5,"correct":true}',
    );
    const content = readFileSync(path, "utf8");
    const { status, stdout } = run(["eval", "grade", path, "--grader", "reference"]);
    expect(status).toBe(0);
    expect(stdout).toMatch(/theirs +as given +2 +2 +100 %/);
    expect(stdout).toContain("The same verdict as before on 1 of 2 (50 %); 1 newly right, 0 newly wrong");
    expect(stdout).toContain(
      'theirs p1, attempt 0: now right, "700" by "last number"; before no answer; target "7"',
    );
    expect(readFileSync(path, "utf8")).toBe(content);
  });

  it("refuses what it cannot grade, and leaves no file behind", () => {
    const empty = folder.file("empty.jsonl", "");
    expect(run(["eval", "grade", empty])).toMatchObject({
      status: 1,
      stderr: expect.stringContaining("no response to grade"),
    });
    writeFileSync(join(folder.path, "b.jsonl"), '{"response":"1"}');
    const failed = run(["eval", "grade", join(folder.path, "b.jsonl")]);
    expect([failed.status, failed.stderr]).toEqual([1, expect.stringContaining("has no right answer")]);
    expect(() => readFileSync(join(folder.path, "b.graded-strict.jsonl"))).toThrow();
    expect(run(["eval", "grade"]).status).toBe(2);
  });
});
