import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { addSettings } from "../attempts/settings-file.ts";
import { makeSyntheticRun } from "../report/synthetic-run.ts";
import { runReport } from "./report.ts";

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "lessismore-report-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

const attempts = makeSyntheticRun({
  ...{ tasks: ["registers"], lengths: [1024], budgets: [128], problems: 12, attempts: 1, seed: 1 },
});

/** Writes a run's folder as eval does, with rows of replaced settings among its own. */
async function writeRun(rows: readonly (typeof attempts)[number][]): Promise<void> {
  const hashes = new Map(attempts.map((row) => [row.settingsHash, row]));
  const cells = [...hashes.values()].map(({ settingsHash, task, length, attention }) => ({
    ...{ settingsHash, task, length, attention },
    problemSet: "made up",
    settings: { model: "pico-reasoner", attention },
  }));
  const run = {
    startedAt: "2026-01-02T03:04:05Z",
    model: "pico-reasoner",
    options: {},
    facts: {},
    notes: [],
  };
  await addSettings(folder, { runs: [run], cells });
  const old = attempts.map((row) => ({ ...row, settingsHash: "replaced", score: 0 }));
  const lines = [...old, ...rows].map((row) => `${JSON.stringify(row)}\n`);
  writeFileSync(join(folder, "attempts.jsonl"), lines.join(""));
}

/** Runs the command; returns what it printed. */
async function report(options: Omit<Parameters<typeof runReport>[0], "folder">): Promise<string> {
  let printed = "";
  await runReport(
    { folder, ...options },
    {
      stdout: {
        write: (text: string) => {
          printed += text;
        },
      },
    },
  );
  return printed;
}

it("writes the page, and a file a figure, and names them", async () => {
  await writeRun(attempts);
  const printed = await report({ svg: join(folder, "svg"), png: join(folder, "png") });
  expect(printed.split("\n")[0]).toBe(join(folder, "report.html"));
  const names = ["accuracy-by-budget", "accuracy-by-reads", "accuracy-by-time"];
  expect(readdirSync(join(folder, "svg")).sort()).toEqual(names.map((name) => `${name}.svg`));
  expect(readdirSync(join(folder, "png")).sort()).toEqual(names.map((name) => `${name}.png`));
  expect(readFileSync(join(folder, "report.html"), "utf8")).toContain("pico-reasoner");
});

it("prints the statistics of the current settings alone, and no page", async () => {
  await writeRun(attempts);
  const { cells, comparisons } = JSON.parse(await report({ format: "json" }));
  const full = attempts.filter(({ attention }) => attention === "full");
  const right = full.filter(({ score }) => score === 1).length;
  expect(cells[0].accuracy.value).toBeCloseTo(right / full.length, 12); // replaced rows have none
  expect(comparisons).toHaveLength(7);
  expect(readdirSync(folder)).not.toContain("report.html");
  expect(await report({ format: "markdown" })).toMatch(/^## Accuracy/);
});

it("refuses a folder without attempts, a baseline that is not there, and a place it cannot write", async () => {
  await expect(report({})).rejects.toThrow("holds no evaluation");
  await writeRun(attempts);
  await expect(report({ baseline: "quest" })).rejects.toThrow("no attempt is of the baseline quest");
  await expect(report({ out: join(folder, "attempts.jsonl", "x.html") })).rejects.toThrow("name a place");
});

it("draws recall and overlaps of the traces in the folder, and counts lines that are none", async () => {
  await writeRun(attempts);
  const attention = "tidal-decode:budget=128,layers=2+7";
  const record = (position: number, recall: number) => ({
    ...{ attention, step: position, position, isSparse: true, attendedFraction: 0.5, kvBytes: 1 },
    layers: [
      {
        layer: 2,
        recall: [recall, recall],
        headOverlap: [
          [1, 0.5],
          [0.5, 1],
        ],
      },
      { layer: 7, recall: [recall - 0.2] },
    ],
    layerOverlap: [
      [1, 0.25],
      [0.25, null],
    ],
  });
  const lines = [JSON.stringify(record(640, 0.9)), "{}", "no JSON", JSON.stringify(record(1280, 0.7)), ""];
  writeFileSync(join(folder, "trace-1.jsonl"), lines.join("\n"));
  await report({});
  const page = readFileSync(join(folder, "report.html"), "utf8");
  expect(page).toContain("trace-1.jsonl: 2 lines are no trace");
  // (0.9 + 0.9 + 0.7) / 3 at 640 and (0.7 + 0.7 + 0.5) / 3 at 1280 tokens
  expect(page).toContain("tidal-decode 73.3 %");
  expect(page).toContain("<title>layers 2 and 7: 0.25</title>");
  expect(page).not.toContain("layers 7 and 7");
  expect(page).toContain("<title>heads 0 and 1: 0.50</title>");
});
