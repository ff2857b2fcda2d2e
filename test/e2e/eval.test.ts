/** `lessismore eval` as people run it: the built command line, the bundled model, folders of results. */
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { MAIN, run, TestFolder } from "./command-line.ts";

const folder = new TestFolder();
afterAll(() => folder.remove());

/** Sampled, so that a wrong seed shows; a few seconds. */
const TASKS = [
  ...[
    "--tasks",
    "registers,graph",
    "--length",
    "224",
    "--problems",
    "4",
    "--attempts",
    "2",
    "--temperature",
    "1.2",
  ],
  ...[
    "--attention",
    "full",
    "--attention",
    "streaming-llm:budget=64",
    "--backend",
    "wasm",
    "--max-tokens",
    "48",
  ],
];
const EXPECTED_ROWS = 4 * 2 * 2 * 2;

interface Row {
  readonly [key: string]: unknown;
}

const linesOf = (out: string): string[] => {
  const path = join(out, "attempts.jsonl");
  return existsSync(path) ? readFileSync(path, "utf8").split("\n").slice(0, -1) : [];
};

/** Few at once: attempts then end one after the other, and a signal finds the run at work. */
const SLOWLY = [...TASKS, "--concurrency", "2"];

/** The rows of a folder without their times, in an order of their own. */
const rowsOf = (out: string): string[] =>
  linesOf(out)
    .map((line) => {
      const { msPerToken: _, prefillMs: __, decodeMs: ___, ...row }: Row = JSON.parse(line);
      return JSON.stringify(row);
    })
    .sort();

const evaluate = (out: string, args: readonly string[] = TASKS) =>
  run(["eval", ...args, "--out", out, "--json"]);

/** Starts an evaluation and kills it once it has so many rows. */
async function killAt(rows: number, out: string): Promise<void> {
  const child = spawn(process.execPath, [MAIN, "eval", ...SLOWLY, "--out", out], { stdio: "ignore" });
  const ended = new Promise<void>((resolve) => child.once("close", () => resolve()));
  const deadline = Date.now() + 30_000;
  while (child.exitCode === null && linesOf(out).length < rows && Date.now() < deadline) await sleep(2);
  child.kill("SIGKILL");
  await ended;
}

const whole = join(folder.path, "whole");
let outcome: ReturnType<typeof run>;
beforeAll(() => {
  outcome = evaluate(whole);
}, 60_000);

describe("eval", () => {
  it("prints one JSON object with the cells and pairs, and writes every attempt", () => {
    expect(outcome.status, outcome.stderr).toBe(0);
    const result = JSON.parse(outcome.stdout);
    expect(result.cells).toHaveLength(4);
    expect(result.pairs).toHaveLength(2);
    expect(result.failures).toEqual([]);
    expect(linesOf(whole)).toHaveLength(EXPECTED_ROWS);
    expect(new Set(rowsOf(whole)).size).toBe(EXPECTED_ROWS);
    expect(outcome.stderr).toContain("32 attempts under 2 methods");
  });

  it("ends with the rows of an undisturbed run after four kills, one of them with a torn line", async () => {
    const out = join(folder.path, "killed");
    for (const rows of [1, 6, 11, 20]) {
      await killAt(rows, out);
      expect(linesOf(out).length).toBeLessThan(EXPECTED_ROWS);
    }
    writeFileSync(join(out, "attempts.jsonl"), `${linesOf(out).join("\n")}\n{"settingsHash":"cut`);
    const { status, stdout, stderr } = evaluate(out);
    expect(status, stderr).toBe(0);
    expect(JSON.parse(stdout).reused).toBeGreaterThanOrEqual(20);
    expect(rowsOf(out)).toEqual(rowsOf(whole));
  }, 120_000);

  it("gives the same rows one request at a time, on one thread", () => {
    const out = join(folder.path, "single");
    const { status, stdout } = evaluate(out, [...TASKS, "--concurrency", "1", "--threads", "1"]);
    expect(status).toBe(0);
    expect(JSON.parse(stdout).reused).toBe(0);
    expect(rowsOf(out)).toEqual(rowsOf(whole));
  }, 60_000);

  it("writes the files of lm-evaluation-harness, one task a cell", () => {
    const names = readdirSync(join(whole, "pico-reasoner"));
    const results = names.find((name) => /^results_\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d+\.json$/.test(name));
    const file = JSON.parse(readFileSync(join(whole, "pico-reasoner", results ?? ""), "utf8"));
    const tasks = Object.keys(file.results);
    expect(tasks).toHaveLength(4);
    // Their readers take the task from between the first and the last underscore, and write it in word characters.
    const sampled = names.filter((name) => name.startsWith("samples_"));
    expect(sampled.map((name) => name.slice(name.indexOf("_") + 1, name.lastIndexOf("_"))).sort()).toEqual(
      tasks.sort(),
    );
    expect(tasks.filter((task) => /\W/.test(task))).toEqual([]);
    for (const key of ["configs", "versions", "n-shot", "higher_is_better", "n-samples", "task_hashes"])
      expect(Object.keys(file[key]).sort(), key).toEqual(tasks);
    const metrics = file.results.graph_224_full;
    expect(metrics).toMatchObject({ alias: "graph 224, full", sample_len: 4 });
    expect(metrics["exact_match,none"]).toBeTypeOf("number");
    expect(metrics["exact_match_stderr,none"]).toBeTypeOf("number");
    expect(file).toMatchObject({
      model_name_sanitized: "pico-reasoner",
      chat_template_sha: expect.stringMatching(/^[0-9a-f]{64}$/),
      config: { model_args: { backend: "wasm", weights: "own" }, random_seed: 1 },
      machine: { machine: { node: process.version } },
    });
  });

  it("makes nothing again, and everything anew under another setting", () => {
    const again = evaluate(whole);
    expect(JSON.parse(again.stdout).reused).toBe(EXPECTED_ROWS);
    expect(linesOf(whole)).toHaveLength(EXPECTED_ROWS);
    const small = ["--tasks", "graph", "--length", "224", "--problems", "2", "--attention", "full"];
    const out = join(folder.path, "changed");
    for (const [i, extra] of [
      [],
      ["--max-tokens", "9"],
      ["--cache-dtype", "q8"],
      ["--dtype", "q8"],
    ].entries()) {
      expect(JSON.parse(evaluate(out, [...small, ...extra]).stdout).reused, extra.join(" ")).toBe(0);
      expect(linesOf(out)).toHaveLength(2 * (i + 1));
    }
    // The table is of the last settings alone.
    const { stdout } = run(["eval", "merge", out, "--out", out, "--json"]);
    expect(JSON.parse(stdout)).toMatchObject({ added: 0, attempts: 2 });
  }, 60_000);

  it("merges two shards into the rows and the results of one run", () => {
    const shards = [1, 2].map((i) => {
      const out = join(folder.path, `shard${i}`);
      expect(evaluate(out, [...TASKS, "--shard", `${i}/2`]).status).toBe(0);
      return out;
    });
    const merged = join(folder.path, "merged");
    for (const added of [EXPECTED_ROWS, 0]) {
      const { status, stdout, stderr } = run(["eval", "merge", ...shards, "--out", merged, "--json"]);
      expect(status, stderr).toBe(0);
      expect(JSON.parse(stdout).added).toBe(added);
    }
    expect(rowsOf(merged)).toEqual(rowsOf(whole));
    expect(scoresOf(merged)).toEqual(scoresOf(whole));
    expect(samplesOf(merged)).toEqual(samplesOf(whole));
  }, 60_000);

  it("merges what is there of an array, and says what is not", () => {
    const [half, begun, never] = ["half", "begun", "never"].map((name) => join(folder.path, name));
    if (half === undefined || begun === undefined || never === undefined) throw new Error("three folders");
    expect(evaluate(half, [...TASKS, "--shard", "1/3"]).status).toBe(0);
    evaluate(begun, [...TASKS, "--shard", "2/3"]);
    writeFileSync(join(begun, "attempts.jsonl"), `${linesOf(begun).slice(0, 5).join("\n")}\n`);
    mkdirSync(never);
    const merged = run(["eval", "merge", half, begun, never, "--out", join(folder.path, "partial")]);
    expect(merged.status).toBe(1);
    expect(merged.stdout).toContain("registers");
    expect(merged.stderr).toContain(`${never}: nothing is there`);
    expect(merged.stderr).toContain("of 3 problems lack");
    const nothing = run(["eval", "merge", never, "--out", join(folder.path, "nothing")]);
    expect(nothing.status).toBe(2);
  }, 60_000);

  it("refuses a folder in use, an unknown task, a damaged folder, and folders of other settings, with exit code 2 or 1", async () => {
    const out = join(folder.path, "busy");
    const child = spawn(process.execPath, [MAIN, "eval", ...SLOWLY, "--out", out], { stdio: "ignore" });
    const deadline = Date.now() + 20_000;
    while (linesOf(out).length === 0 && Date.now() < deadline) await sleep(2);
    child.kill("SIGSTOP");
    const busy = evaluate(out);
    child.kill("SIGKILL");
    expect(busy.status).toBe(2);
    expect(busy.stderr).toContain("another process works in");

    const unknown = run(["eval", "--tasks", "aime26"]);
    expect(unknown.status).toBe(2);
    expect(unknown.stderr).toContain("registers");
    writeFileSync(join(out, "settings.json"), "{");
    expect(evaluate(out).status).toBe(1);
    const other = join(folder.path, "other");
    evaluate(other, [...TASKS, "--seed", "2"]);
    const refused = run(["eval", "merge", whole, other, "--out", join(folder.path, "mixed")]);
    expect(refused.status).toBe(2);
    expect(refused.stderr).toContain("with other settings (seed)");
  }, 90_000);

  it("refuses a file with the name of a task, and one that is not there", () => {
    const file = folder.file("graph.jsonl", '{"problem":"1+1?","answer":"2"}\n');
    const named = run(["eval", "--tasks", "graph", "--data", file, "--out", join(folder.path, "named")]);
    expect(named.stderr).toContain("the file graph has the name of a task");
    expect(named.status).toBe(2);
    const missing = run(["eval", "--data", "none.jsonl", "--out", join(folder.path, "named")]);
    expect(missing.stderr).toContain("--data none.jsonl: there is no such file");
    expect(missing.status).toBe(2);
  });

  it("stops at Ctrl-C with exit code 130, and keeps what is done", async () => {
    const out = join(folder.path, "interrupted");
    const child = spawn(process.execPath, [MAIN, "eval", ...SLOWLY, "--out", out], {
      stdio: ["ignore", "ignore", "pipe"],
    });
    let notes = "";
    child.stderr.on("data", (text) => {
      notes += String(text);
    });
    const ended = new Promise<number | null>((resolve) => child.once("close", resolve));
    const deadline = Date.now() + 20_000;
    while (linesOf(out).length < 5 && Date.now() < deadline) await sleep(2);
    child.kill("SIGINT");
    expect(await ended).toBe(130);
    expect(notes).toContain("the same command goes on");
    const done = linesOf(out).length;
    expect(done).toBeLessThan(EXPECTED_ROWS);
    expect(JSON.parse(evaluate(out).stdout).reused).toBe(done);
    expect(rowsOf(out)).toEqual(rowsOf(whole));
  }, 60_000);
});

/** The figures of the last results file, times excepted. */
function scoresOf(out: string): unknown {
  const model = join(out, "pico-reasoner");
  const last = readdirSync(model)
    .filter((name) => name.startsWith("results_"))
    .sort()
    .at(-1);
  const { results, task_hashes: hashes } = JSON.parse(readFileSync(join(model, last ?? ""), "utf8"));
  const untimed = Object.entries(results as Record<string, Row>).map(([name, metrics]) => [
    name,
    Object.fromEntries(Object.entries(metrics).filter(([metric]) => !/^(seconds|ms_per_token)/.test(metric))),
  ]);
  return { results: Object.fromEntries(untimed), hashes };
}

/** The responses in the samples of each task, by problem. */
function samplesOf(out: string): unknown {
  const model = join(out, "pico-reasoner");
  return Object.fromEntries(
    readdirSync(model)
      .filter((name) => name.startsWith("samples_"))
      .map((name) => [
        name.slice(0, name.lastIndexOf("_")),
        readFileSync(join(model, name), "utf8")
          .split("\n")
          .slice(0, -1)
          .map((line) => {
            const {
              doc_id: id,
              resps,
              filtered_resps: found,
              doc,
              exact_match: score,
            }: Row = JSON.parse(line);
            return { id, resps, found, doc, score };
          }),
      ]),
  );
}
