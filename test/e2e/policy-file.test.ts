/** A policy in a file outside the package, on the built command line. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { run, TestFolder } from "./command-line.ts";

const folder = new TestFolder();
afterAll(() => folder.remove());
const example = readFileSync(
  new URL("../../examples/custom-policy/block-peaks.mjs", import.meta.url),
  "utf8",
);
const file = folder.file("block-peaks.mjs", example);

const GENERATE = ["generate", "--max-tokens", "40", "--temperature", "0", "--ignore-eos", "--json"];
const problem = "long ".repeat(80);

describe("--attention ./FILE", () => {
  it("runs the policy in generate, with its settings, and reads fewer bytes than full attention", () => {
    const { status, stdout, stderr } = run([
      ...GENERATE,
      "--attention",
      `${file}:budget=64,layers=2+7`,
      problem,
    ]);
    expect(status, stderr).toBe(0);
    const { attention, attendedFraction } = JSON.parse(stdout);
    expect(attention).toMatchObject({
      name: "block-peaks",
      settings: { budget: 64, share: 0.25, layers: [2, 7] },
    });
    expect(attendedFraction).toBeLessThan(0.8);
  });

  it("gives the tokens of less-is-more, whose selection it spells out", () => {
    const spec = "less-is-more:budget=64,recency=0.25,sinks=0,layers=2+7";
    const own = run([...GENERATE, "--attention", `${file}:budget=64,sinks=0,layers=2+7`, problem]);
    const ours = run([...GENERATE, "--attention", spec, problem]);
    expect(JSON.parse(own.stdout).tokenIds).toEqual(JSON.parse(ours.stdout).tokenIds);
  });

  it("is evaluated, scored, timed and named like ours, and a changed file is another policy", () => {
    const out = join(folder.path, "results");
    const evaluate = (policy: string) =>
      run([
        ...["eval", "--tasks", "graph", "--length", "256", "--problems", "2", "--out", out, "--json"],
        ...["--attention", "full", "--attention", policy],
      ]);
    const { status, stdout, stderr } = evaluate(`${file}:budget=64,layers=2+7`);
    expect(status, stderr).toBe(0);
    const { cells, pairs } = JSON.parse(stdout);
    expect(cells[1]).toMatchObject({
      attention: "block-peaks:budget=64,share=0.25,sinks=4,layers=2+7",
      attempts: 2,
    });
    expect(cells[1].attendedFraction.value).toBeLessThan(cells[0].attendedFraction.value);
    expect(cells[1].msPerToken.mean.value).toBeGreaterThan(0);
    expect(pairs).toHaveLength(1);
    const changed = folder.file("changed/block-peaks.mjs".replace("/", "-"), `${example}\n// changed\n`);
    expect(JSON.parse(evaluate(`${changed}:budget=64,layers=2+7`).stdout).reused).toBe(2);
    expect(JSON.parse(evaluate(`${changed}:budget=64,layers=2+7`).stdout).reused).toBe(4);
  }, 60_000);

  it.each([
    ["a missing file", () => join(folder.path, "none.mjs"), "cannot read the file"],
    ["broken code", () => folder.file("broken.mjs", "export default ("), "does not load"],
    ["no default export", () => folder.file("none-exported.mjs", "export const a = 1;"), "default export"],
    [
      "a function that returns something else",
      () => folder.file("two.mjs", "export default () => 2;"),
      "must return a policy",
    ],
    ["impossible settings", () => `${file}:budget=1`, "budget must be a whole number of at least 16"],
    ["unknown settings", () => `${file}:size=1`, "unknown settings: size"],
    ["a setting twice", () => `${file}:budget=64,budget=65`, "given twice"],
    ["layers that the model lacks", () => `${file}:layers=99`, "layers must be of 0 to 9"],
    ["a path that does not begin as one", () => "block-peaks.mjs:budget=64", "begins with ./ or /"],
    ["a name that is no word", () => folder.file("lines.mjs", policyWith('name: "a\\nb"')), "name: one word"],
    ["no name", () => folder.file("nameless.mjs", policyWith('name: ""')), "name: one word"],
    [
      "settings that no spec can spell",
      () => folder.file("circular.mjs", policyWith("settings: { get a() { return this; } }")),
      "settings: numbers, texts or lists",
    ],
    ["a policy that takes no settings", () => `${folder.file("value.mjs", VALUE)}:a=1`, "takes no settings"],
  ])("refuses %s with exit code 2 and says so", (_, spec, message) => {
    for (const command of [GENERATE, ["eval", "--tasks", "graph", "--out", join(folder.path, "refused")]]) {
      const { status, stderr } = run([
        ...command,
        "--attention",
        spec(),
        ...(command === GENERATE ? ["hello"] : []),
      ]);
      expect(stderr).toContain(message);
      expect(status).toBe(2);
      expect(stderr.trimEnd().split("\n")).toHaveLength(1);
    }
  });
});

it("names the policy whose weights do not load", () => {
  const failing = folder.file("weights.mjs", policyWith('load() { throw new Error("no weights"); }'));
  const { status, stderr } = run([...GENERATE, "--attention", failing, "hello"]);
  expect(stderr).toContain("attention own: load failed: Error: no weights");
  expect(status).not.toBe(0);
});

it.each([
  ["its function", "export default () => new Promise(() => {});"],
  ["the file itself", "await new Promise(() => {}); export default () => 1;"],
])("ends with a message if %s waits for a promise that never settles", (_, text) => {
  const waiting = folder.file("waiting.mjs", text);
  const { status, stderr } = run([...GENERATE, "--attention", waiting, "hello"]);
  expect(stderr).toContain("nothing is left to settle");
  expect(status).toBe(1);
});

function policyWith(member: string): string {
  return `export default () => ({ name: "own", settings: {}, tokenBudget: Infinity,
    layerRole: () => ({ attends: "all", selects: false }), ${member} });`;
}

const VALUE = `export default {
  name: "all", settings: {}, tokenBudget: Infinity, layerRole: () => ({ attends: "all", selects: false }),
};`;
