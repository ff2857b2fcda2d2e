/** `lessismore eval --trace-problems` as people run it: traces beside attempts, in one run, in pieces, and in the report. */
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { TraceRecord } from "../../eval/metrics/index.ts";
import { MAIN, run, TestFolder } from "./command-line.ts";

const folder = new TestFolder();
afterAll(() => folder.remove());

const TASKS = [
  ...["--tasks", "registers,needle", "--length", "256", "--problems", "3", "--max-tokens", "40"],
  ...["--attention", "full", "--attention", "tidal-decode:budget=64,layers=2+5", "--backend", "wasm"],
];
const TRACED = [...TASKS, "--trace-problems", "2", "--trace-every", "4"];

const evaluate = (out: string, args: readonly string[] = TRACED) =>
  run(["eval", ...args, "--out", out, "--json"]);
const tracesOf = (out: string): string[] =>
  existsSync(join(out, "traces")) ? readdirSync(join(out, "traces")).sort() : [];
/** Every trace by its name, as it is. */
const contentOf = (out: string): Record<string, string> =>
  Object.fromEntries(tracesOf(out).map((name) => [name, readFileSync(join(out, "traces", name), "utf8")]));
const recordsOf = (content = ""): TraceRecord[] =>
  content
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
const rowsOf = (out: string): string[] =>
  readFileSync(join(out, "attempts.jsonl"), "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => {
      const { msPerToken: _, prefillMs: __, decodeMs: ___, ...row } = JSON.parse(line);
      return JSON.stringify(row);
    })
    .sort();

/** The leaves of a value with their paths. */
function* leavesOf(value: unknown, path = ""): Generator<[string, unknown]> {
  if (typeof value !== "object" || value === null) yield [path, value];
  else for (const [key, entry] of Object.entries(value)) yield* leavesOf(entry, `${path}.${key}`);
}

/** The same records, but for the last of four digits: what else is in a batch may round sums otherwise. */
function expectSame(actual: readonly object[], expected: readonly object[]): void {
  const [ours, theirs] = [[...leavesOf(actual)], [...leavesOf(expected)]];
  const different = ours.filter(([path, value], i) => {
    const [otherPath, other] = theirs[i] ?? [];
    const isNear =
      typeof value === "number" && Math.abs(value - Number(other)) <= 0.0011 * Math.max(0.01, value);
    return path !== otherPath || !(value === other || isNear);
  });
  expect(different.slice(0, 5)).toEqual([]);
  expect(ours.length).toBe(theirs.length);
}

/** The same traces by name. */
function expectSameTraces(out: string): void {
  expect(tracesOf(out)).toEqual(tracesOf(whole));
  const [ours, theirs] = [contentOf(out), contentOf(whole)];
  for (const name of tracesOf(whole)) expectSame(recordsOf(ours[name]), recordsOf(theirs[name]));
}

const whole = join(folder.path, "whole");
beforeAll(() => {
  const { status, stderr } = evaluate(whole);
  expect(status, stderr).toBe(0);
  expect(stderr).toContain("8 traces, in ");
}, 60_000);

describe("eval --trace-problems", () => {
  it("writes a trace for each of the first problems of a task under each method, every n-th step, and leaves attempts as they are", () => {
    const traces = contentOf(whole);
    expect(Object.keys(traces)).toHaveLength(2 * 2 * 2); // tasks, methods, problems
    const { cells } = JSON.parse(readFileSync(join(whole, "settings.json"), "utf8"));
    const hashes = new Set(cells.map((cell: { settingsHash: string }) => cell.settingsHash));
    for (const [name, content] of Object.entries(traces)) {
      const records = recordsOf(content);
      const [first] = records;
      expect(name.startsWith(`${first?.task}_256_`)).toBe(true);
      expect(hashes.has(first?.settingsHash)).toBe(true);
      expect(records.map(({ step }) => step)).toEqual(records.map((_, i) => 4 * i));
      expect(records.every((one) => one.every === 4 && one.problemId === first?.problemId)).toBe(true);
      const isSparse = first?.attention.startsWith("tidal") ?? false;
      expect(records.some(({ layers }) => layers[9]?.recall !== undefined)).toBe(isSparse);
    }
    const untraced = join(folder.path, "untraced");
    evaluate(untraced, TASKS);
    expect(tracesOf(untraced)).toEqual([]);
    expect(rowsOf(untraced)).toEqual(rowsOf(whole));
  }, 60_000);

  it("sees the steps that generate --trace sees of the same messages", () => {
    const [name = ""] = tracesOf(whole).filter((one) => one.startsWith("registers_256_tidal"));
    const records = recordsOf(contentOf(whole)[name]);
    const problems = readFileSync(join(whole, "problems.jsonl"), "utf8").trimEnd().split("\n");
    const { messages } = problems
      .map((line) => JSON.parse(line))
      .find((problem: { id: string }) => problem.id === records[0]?.problemId);
    const path = join(folder.path, "one.jsonl");
    const { status, stderr } = run([
      ...["generate", "--messages", folder.file("messages.json", JSON.stringify(messages))],
      ...["--attention", "tidal-decode:budget=64,layers=2+5", "--backend", "wasm", "--max-tokens", "40"],
      ...["--trace", path, "--trace-every", "4"],
    ]);
    expect(status, stderr).toBe(0);
    const bare = ({ attention, step, position, layers, stepOverlap }: TraceRecord) => ({
      ...{ attention, step, position, layers, stepOverlap },
    });
    expectSame(recordsOf(readFileSync(path, "utf8")).map(bare), records.map(bare));
  }, 60_000);

  it("goes on after a kill: the traces of an undisturbed run, none of them torn", async () => {
    const out = join(folder.path, "killed");
    const child = spawn(process.execPath, [MAIN, "eval", ...TRACED, "--out", out], { stdio: "ignore" });
    const ended = new Promise<void>((resolve) => child.once("close", () => resolve()));
    const deadline = Date.now() + 30_000;
    const areDone = () => tracesOf(out).filter((name) => name.endsWith(".jsonl")).length >= 2;
    while (child.exitCode === null && !areDone() && Date.now() < deadline) await sleep(1);
    child.kill("SIGKILL");
    await ended;
    const kept = Object.entries(contentOf(out)).filter(([name]) => name.endsWith(".jsonl"));
    expect(kept.length).toBeLessThan(8);
    for (const [name, content] of kept) expectSame(recordsOf(content), recordsOf(contentOf(whole)[name]));
    writeFileSync(join(out, "traces", "registers_256_full_0.jsonl.partial"), '{"cut');
    const { status, stdout } = evaluate(out);
    expect(status).toBe(0);
    expect(JSON.parse(stdout).reused).toBe(12);
    expectSameTraces(out);
  }, 90_000);

  it("adds traces to a run that is done, and makes them anew at another distance alone", () => {
    const out = join(folder.path, "later");
    evaluate(out, TASKS);
    const rows = rowsOf(out);
    expect(evaluate(out).stderr).toContain("8 traces, in");
    expectSameTraces(out);
    expect(evaluate(out).stderr).toContain("8 traces, 8 of them there already");
    expect(evaluate(out, [...TASKS, "--trace-problems", "2", "--trace-every", "8"]).status).toBe(0);
    for (const content of Object.values(contentOf(out)))
      expect(recordsOf(content).every(({ every }) => every === 8)).toBe(true);
    expect(tracesOf(out)).toEqual(tracesOf(whole));
    expect(rowsOf(out)).toEqual(rows);
  }, 60_000);

  it("has the traces of one run after shards are merged", () => {
    const shards = ["1/2", "2/2"].map((shard) => {
      const out = join(folder.path, `shard-${shard[0]}`);
      expect(evaluate(out, [...TRACED, "--shard", shard]).status).toBe(0);
      expect(tracesOf(out)).toHaveLength(4);
      return out;
    });
    const out = join(folder.path, "merged");
    expect(run(["eval", "merge", ...shards, "--out", out]).status).toBe(0);
    expectSameTraces(out);
  }, 60_000);

  it("is drawn by eval report: recall over steps, overlaps, and a table; not what other settings left", () => {
    const out = join(folder.path, "reported");
    evaluate(out, TRACED);
    const [record] = recordsOf(Object.values(contentOf(out)).find((content) => content.includes("tidal")));
    const stale = { ...record, attention: "quest:budget=64", settingsHash: "of another run" };
    writeFileSync(join(out, "traces", "stale.jsonl"), `${JSON.stringify(stale)}\n`);
    const svg = join(folder.path, "svg");
    mkdirSync(svg);
    const { status, stderr } = run(["eval", "report", out, "--svg", svg]);
    expect(status, stderr).toBe(0);
    expect(readdirSync(svg)).toEqual(
      expect.arrayContaining(["recall-by-position.svg", "layer-overlap.svg", "head-overlap.svg"]),
    );
    expect(readFileSync(join(out, "report.html"), "utf8")).toContain("Attention in traced steps");
    const { traces } = JSON.parse(run(["eval", "report", out, "--json"]).stdout);
    const all = Object.values(contentOf(whole)).flatMap(recordsOf);
    expect(
      traces.map(({ attention, steps }: { attention: string; steps: number }) => [attention, steps]),
    ).toEqual(
      [...new Set(all.map(({ attention }) => attention))].map((attention) => [
        attention,
        all.filter((one) => one.attention === attention).length,
      ]),
    );
  }, 60_000);

  it("is refused without traces to space, and behind an endpoint", () => {
    const alone = run(["eval", "--tasks", "registers", "--trace-every", "4"]);
    expect([alone.status, alone.stderr]).toEqual([2, expect.stringContaining("is for --trace-problems N")]);
    const endpoint = ["--endpoint", "http://127.0.0.1:1/v1", "--served-model", "m"];
    const behind = run(["eval", "--tasks", "registers", ...endpoint, "--trace-problems", "1"]);
    expect([behind.status, behind.stderr]).toEqual([2, expect.stringContaining("no view of its attention")]);
  });
});
