/** Presets and published tasks on the built command line, from local files of the test's own. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { run, TestFolder } from "./command-line.ts";

const folder = new TestFolder();
afterAll(() => folder.remove());

const rows = (answer: (i: number) => unknown) =>
  Array.from({ length: 3 }, (_, i) =>
    JSON.stringify({ problem: `What is ${i} + ${i}?`, answer: answer(i) }),
  ).join("\n");
const choices = ["Question,Correct Answer,Incorrect Answer 1,Incorrect Answer 2,Incorrect Answer 3"];
for (let i = 0; i < 3; i++)
  choices.push(`What is ${i} + ${i}?,${2 * i},${2 * i + 1},${2 * i + 2},${2 * i + 3}`);
beforeAll(() => {
  folder.file(
    "aime24.jsonl",
    rows((i) => 2 * i),
  );
  folder.file(
    "aime25.jsonl",
    rows((i) => String(2 * i)),
  );
  folder.file(
    "math500.jsonl",
    rows((i) => `\\frac{${4 * i}}{2}`),
  );
  folder.file("gpqa-diamond.csv", choices.join("\n"));
});

const PAPER = ["eval", "--preset", "paper", "--problems", "2", "--max-tokens", "4", "--backend", "wasm"];

it("runs the paper's set-up: four tasks, their budgets, every method, after an estimate", () => {
  const out = join(folder.path, "paper");
  const args = [...PAPER, "--attempts", "2", "--data", folder.path, "--out", out, "--json"];
  const { status, stdout, stderr } = run(args);
  expect(status, stderr).toBe(0);
  const { cells } = JSON.parse(stdout);
  const methods = (task: string) =>
    cells
      .filter((cell: { task: string }) => cell.task === task)
      .map((cell: { attention: string }) => cell.attention);
  const expected = (budgets: readonly number[]) => [
    /^full$/,
    ...budgets.map(
      (budget) => new RegExp(`^less-is-more:budget=${budget},recency=0.25,sinks=4,layers=2\\+7$`),
    ),
    ...budgets.map((budget) => new RegExp(`^tidal-decode:budget=${budget},layers=`)),
    ...budgets.map((budget) => new RegExp(`^quest:budget=${budget},page=64,dense-layers=0$`)),
  ];
  for (const [task, budgets] of Object.entries({
    aime24: [2048, 4096, 6144],
    aime25: [2048, 4096, 6144],
    math500: [1024, 2048, 4096],
    "gpqa-diamond": [1024, 2048, 4096],
  })) {
    // seer-attention-r runs where the model has a gate, and else a note says why not.
    const others = methods(task).filter((name: string) => !name.startsWith("seer-attention-r"));
    expect(others).toEqual(expected(budgets).map((pattern) => expect.stringMatching(pattern)));
    const gated = methods(task).length - others.length;
    expect(gated === 3 || stderr.includes("left out: --attention seer-attention-r")).toBe(true);
  }
  expect(cells.every((cell: { attempts: number }) => cell.attempts === 4)).toBe(true);
  const estimate = /(\d+) attempts of about .* hours of this machine .* Assumed tokens a response: aime24 4,/;
  expect(estimate.exec(stderr)?.[1]).toBe(String(cells.length * 4));
  expect(stderr.indexOf("Assumed tokens")).toBeLessThan(stderr.indexOf("results in"));
}, 60_000);

it("asks with the paper's words, a real backslash in \\boxed, and GPQA's options shuffled by the seed", () => {
  const out = join(folder.path, "prompts");
  const args = [...PAPER, "--attempts", "1", "--data", folder.path, "--attention", "full", "--out", out];
  expect(run(args).status).toBe(0);
  const problems = readFileSync(join(out, "problems.jsonl"), "utf8")
    .split("\n")
    .slice(0, -1)
    .map((line): { target: string; messages: readonly { content: string }[] } => JSON.parse(line));
  const texts = problems.map(({ messages }) => messages[0]?.content ?? "");
  const suffix = "\nPlease reason step by step, and put your final answer within \\boxed{}.";
  expect(texts[0]).toBe(`What is 0 + 0?${suffix}`);
  expect(texts.slice(0, 6).every((text) => text.endsWith(suffix))).toBe(true);
  const gpqa = problems.slice(6);
  for (const [i, { target, messages }] of gpqa.entries())
    expect(messages[0]?.content).toContain(`\n${target}) ${2 * i}\n`);
});

it("says what a run will cost and stops there", () => {
  const out = join(folder.path, "estimated");
  const { status, stdout, stderr } = run([...PAPER, "--data", folder.path, "--estimate", "--out", out]);
  expect(status, stderr).toBe(0);
  expect(stdout).toBe("");
  // 2 problems: 64 attempts at AIME-24 and 25, 8 at MATH500, 16 at GPQA.
  const [, attempts = "0"] = /(\d+) attempts of about/.exec(stderr) ?? [];
  expect(Number(attempts) / (2 * (64 + 64 + 8 + 16))).toBeOneOf([10, 13]); // methods, with a gate 13
  expect(() => readFileSync(join(out, "attempts.jsonl"))).toThrow();
});

it("takes problems of one's own, and their ids", () => {
  const file = folder.file(
    "mine.jsonl",
    `${JSON.stringify({ id: "a", question: "What is 2 + 2?", answer: 4 })}\n`,
  );
  const out = join(folder.path, "mine");
  const args = ["eval", "--data", file, "--attention", "full", "--max-tokens", "4", "--out", out, "--json"];
  for (const grader of ["strict", "reference"]) {
    const { status, stdout, stderr } = run([...args, "--grader", grader]);
    expect(status, stderr).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ reused: 0, cells: [{ task: "mine", problems: 1 }] });
  }
  const lines = readFileSync(join(out, "attempts.jsonl"), "utf8").split("\n").slice(0, -1);
  expect(lines.map((line) => JSON.parse(line).problemId)).toEqual(["a", "a"]);
  expect(lines.map((line) => JSON.parse(line).rule)[0]).toBe("unfinished reasoning");
});
