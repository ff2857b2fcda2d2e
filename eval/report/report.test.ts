import { describe, expect, it } from "vitest";
import { makeAttempt, makeAttempts } from "../statistics/make-attempt.ts";
import { accuracyByBudget } from "./figures/by-budget.ts";
import { frontOf } from "./figures/by-cost.ts";
import { placeLabels } from "./figures/labels.ts";
import { figureSvg, formatReport, makeFigures, makePage, makeReportData, openPngRenderer } from "./index.ts";
import { methodsOf } from "./methods.ts";
import { makeSyntheticForced, makeSyntheticRun } from "./synthetic-run.ts";
import { formatMarkdown, formatTable, percent, signed } from "./table.ts";
import { accuracyMatrix } from "./tables.ts";
import type { MethodTrace } from "./traces.ts";

const RUN = {
  ...{ tasks: ["registers", "graph"], lengths: [1024, 2048], budgets: [128, 256] },
  ...{ problems: 30, attempts: 2, seed: 3 },
};
const settings = {
  runs: [{ startedAt: "2026-01-02T03:04:05Z", model: "pico", options: { seed: 1 }, facts: {}, notes: [] }],
  cells: [],
};
const attempts = [...makeSyntheticRun(RUN), ...makeSyntheticForced(RUN)];
const data = makeReportData({ folder: "results", settings, attempts });
const figures = makeFigures(data);
const page = makePage(data, figures);

describe("a report of a run", () => {
  it("has every figure that its rows allow, each with a panel per task and length", () => {
    expect(figures.map(({ id, panels }) => [id, panels.length])).toEqual([
      ["accuracy-by-budget", 4],
      ["accuracy-by-time", 4],
      ["accuracy-by-reads", 4],
      ["loss-by-budget", 2],
      ["needle-map", 15],
    ]);
  });

  it("draws every cell with its interval, and full attention as a line", () => {
    for (const { alt, svg, title } of accuracyByBudget(data)?.panels ?? []) {
      const budgeted = data.cells.filter(({ place, method }) => place.title === title && method.budget);
      expect(svg.match(/<title>/g)).toHaveLength(budgeted.length);
      for (const { accuracy } of budgeted) expect(alt).toContain(((accuracy?.value ?? 0) * 100).toFixed(1));
      expect(alt).toContain("full attention");
      expect(svg).toContain('aria-label="rule"');
    }
  });

  it("asks for nothing: no script, no address, no style attribute, one style sheet whose hash its policy names", () => {
    expect(page).not.toMatch(/<script|<link|<img|<iframe|javascript:|\sstyle=|\son\w+=|@import|url\(/i);
    const addresses = new Set(page.match(/https?:\/\/[^"\s<]+/g));
    expect([...addresses]).toEqual(["http://www.w3.org/2000/svg"]); // a namespace, which nobody fetches
    expect(page.match(/<style/g)).toHaveLength(1);
    expect(page).toMatch(/default-src &#39;none&#39;; style-src &#39;sha256-[\w+/=]{44}&#39;/);
  });

  it("names all figures, captions every table, and has a target for every link", () => {
    const images = page.match(/<svg [^>]*role="img"[^>]*>/g) ?? [];
    expect(images).toHaveLength(29);
    for (const image of images) expect(image).toMatch(/aria-label="[^"]{20,}"/);
    expect(page.match(/<caption>/g)?.length).toBe(page.match(/<table>/g)?.length);
    for (const [, id] of page.matchAll(/href="#([^"]+)"/g)) expect(page).toContain(`<section id="${id}"`);
  });

  it("escapes what names say, in the page, its figures and Markdown", () => {
    const hostile = `<img src=x onerror=alert(1)>"'&|`;
    const rows = [
      ...makeAttempts([1, 0, 1], { task: hostile, attention: "full" }),
      ...makeAttempts([1, 0, 0], { task: hostile, attention: `${hostile}:budget=64` }),
    ];
    const report = makeReportData({ folder: hostile, settings, attempts: rows });
    const drawn = makeFigures(report);
    expect(drawn).toHaveLength(3);
    for (const text of [makePage(report, drawn), ...drawn.map((figure) => figureSvg(figure))]) {
      expect(text).not.toMatch(/<img/);
      expect(text).toContain("&lt;img src=x onerror=alert(1)&gt;");
    }
    const lines = formatReport(report, "markdown").split("\n");
    const columns = new Set(
      lines.filter((line) => line.startsWith("| <img")).map((line) => line.match(/(?<!\\)\|/g)?.length),
    );
    expect(columns.has(undefined)).toBe(false);
  });

  it("writes SVG with colours that any program knows, and PNG pictures with text in them", async () => {
    const render = await openPngRenderer();
    for (const figure of figures) {
      const svg = figureSvg(figure);
      expect(svg).not.toContain("var(");
      const png = render(svg);
      expect([...png.subarray(0, 8)]).toEqual([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
    }
    const [first] = figures;
    if (first === undefined) throw new Error("no figure");
    const svg = figureSvg(first);
    const without = render(svg.replace(/<text[^>]*>[^<]*<\/text>/g, ""));
    expect(render(svg).length).toBeGreaterThan(without.length + 5000);
  });

  it("says in text and Markdown what the cells say, the best method of a column in bold", () => {
    const text = formatReport(data, "text");
    for (const { attention } of data.cells) expect(text).toContain(attention);
    const markdown = formatReport(data, "markdown");
    expect(markdown).toMatch(/\*\*\d+\.\d \[\d+\.\d, \d+\.\d\]\*\*/);
    for (const { rows } of [accuracyMatrix(data)]) {
      const others = rows.filter(({ role }) => role !== "method").flatMap(({ cells }) => cells);
      expect(others.some((cell) => cell?.isBest)).toBe(false); // full attention and the bounds are no competitors
      for (const i of [0, 1, 2, 3]) {
        const column = rows.filter(({ role }) => role === "method").map(({ cells }) => cells[i]);
        const best = Math.max(...column.map((cell) => cell?.accuracy.value ?? 0));
        for (const cell of column) expect(cell?.isBest).toBe(cell?.accuracy.value === best);
      }
    }
  });

  it("keeps a method that reads more than the whole cache within its axis", () => {
    const rows = [
      ...makeAttempts([1, 0, 1], { attention: "full" }),
      ...makeAttempts([1, 0, 1], { attention: "quest:budget=64", attendedFraction: 1.47 }),
    ];
    const report = makeReportData({ folder: "x", settings, attempts: rows });
    const reads = makeFigures(report).find(({ id }) => id === "accuracy-by-reads");
    const [, x = "missing"] =
      /<circle r="4.5" cy="[\d.]+" cx="([\d.]+)"/.exec(reads?.panels[0]?.svg ?? "") ?? [];
    expect(Number(x)).toBeLessThan(383); // the end of the axis
  });

  it("goes without a baseline, and says so", () => {
    const rows = makeAttempts([1, 0], { attention: "served-model" });
    const report = makeReportData({ folder: "x", settings, attempts: rows });
    expect(report.comparisons).toEqual([]);
    expect(report.warnings[0]).toContain("--baseline");
    expect(makePage(report, makeFigures(report))).toContain("--baseline");
    expect(() => makeReportData({ folder: "x", settings, attempts: rows, baseline: "full" })).toThrow(
      "served-model",
    );
  });
});

describe("methods", () => {
  it("are named by the settings in which they differ, and keep their looks in any order", () => {
    const specs = ["quest:budget=64,page=16", "a:budget=64,layers=2+7", "full", "a:budget=128,layers=2+4"];
    const methods = methodsOf(specs);
    expect(methods.map(({ series }) => series.label)).toEqual([
      "full",
      "quest",
      "a layers 2+4",
      "a layers 2+7",
    ]);
    expect(methodsOf([...specs].reverse())).toEqual(methods);
    expect(methods.map(({ budget }) => budget)).toEqual([undefined, 64, 128, 64]);
  });

  it("differ in colour, symbol or dash, up to 24 of them", () => {
    const series = methodsOf(Array.from({ length: 24 }, (_, i) => `p${i}:budget=64`)).map(
      (one) => one.series,
    );
    const looks = series.map(({ colour, symbol, dash }) => `${colour} ${symbol} ${dash}`);
    expect(new Set(looks).size).toBe(24);
  });
});

it("the front has each cell that no cheaper one equals", () => {
  const cell = (cost: number, accuracy: number) => ({
    cost: { value: cost, interval: null, intervalBy: "constant" as const },
    accuracy: { value: accuracy, interval: null, intervalBy: "constant" as const },
  });
  const cells = [cell(3, 0.9), cell(1, 0.5), cell(2, 0.4), cell(2.5, 0.9), cell(1, 0.3)];
  expect(frontOf(cells).map(({ cost }) => cost.value)).toEqual([1, 2.5]);
});

it("labels stay in the frame and hide no point and no label", () => {
  const frame = { left: 0, right: 100, top: 0, bottom: 100 };
  const at = (x: number, y: number) => ({ at: [x, y] as const, text: "256" });
  const labels = placeLabels([at(95, 50), at(50, 50), at(52, 51), at(51, 52), at(49, 49)], frame);
  expect(labels[0]?.dx).toBeLessThan(0); // no room to the right
  // Away from the lines and bars that go sideways and upright through a point.
  const [alone] = placeLabels([at(50, 50)], frame);
  expect(Math.min(Math.abs(alone?.dx ?? 0), Math.abs(alone?.dy ?? 0))).toBeGreaterThan(5);
  expect(labels.filter(({ text }) => text !== "").length).toBeGreaterThan(2);
});

it("traces of budgets share an axis of positions, and overlaps of ten layers have figures", () => {
  const trace = (budget: number, positions: readonly number[]): MethodTrace => ({
    attention: `quest:budget=${budget}`,
    summary: {
      ...{
        attention: `quest:budget=${budget}`,
        steps: 1,
        sparseSteps: 1,
        attendedFraction: 0.5,
        kvBytes: 5e4,
      },
      layers: [{ layer: 0, recall: [0.25, 0.5], stepOverlap: 0.75 }],
      layerOverlap: [[1]],
    },
    recall: positions.map((position) => ({ position, recall: 0.5 })),
    layerOverlap: Array.from({ length: 100 }, (_, i) => {
      const [a, b] = [Math.floor(i / 10), i % 10];
      return { a, b, overlap: a === b ? 1 : 0.25 };
    }),
    headOverlap: [],
  });
  const traces = [trace(64, [100, 480]), trace(128, [900, 4000])];
  const traced = makeReportData({ folder: "", settings, attempts: [], traces });
  const [recall, layers] = makeFigures(traced);
  const ticks = recall?.panels.map(({ svg }) =>
    [...svg.matchAll(/>([\dK]+)<\/text>/g)].map(([, text]) => text),
  );
  expect(ticks?.[0]).toEqual(ticks?.[1]);
  expect(layers?.panels[0]?.svg.match(/>\.25<\/text>/g)).toHaveLength(90);
  expect(layers?.panels[0]?.svg.match(/>1<\/text>/g)?.length).toBeGreaterThanOrEqual(10);
  expect(formatReport(traced, "text")).toMatch(/quest:budget=64 +1 +37\.5 +0\.25 +0\.75 +50 % +50\n/);
});

it("marks no method as the best of a column in which nobody is right", () => {
  const wrong = attempts.filter(({ metric }) => metric === "correct").map((row) => ({ ...row, score: 0 }));
  const { rows } = accuracyMatrix(makeReportData({ folder: "", settings, attempts: wrong }));
  expect(rows.flatMap(({ cells }) => cells).some((cell) => cell?.isBest)).toBe(false);
});

it("tables pad columns, escape bars, and round without lying", () => {
  const table = {
    header: ["a", "b"],
    rows: [
      ["long", "1"],
      ["x|y\nz", "2"],
    ],
  };
  expect(formatTable({ header: ["a", "b"], rows: [["long", "1"]] })).toBe("a     b\nlong  1");
  const wide = {
    header: ["task", "attention", "score", "", "cut"],
    rows: [["graph", "full", "100 %", "undecided", ""]],
  };
  expect(formatTable(wide, { width: 40, name: "attention" })).toBe(formatTable(wide));
  expect(formatTable(wide, { width: 30, name: "attention" })).toBe("graph  full\n    score 100 %, undecided");
  expect(formatTable(wide, { width: 20, name: "attention" })).toBe(
    "graph  full\n    score 100 %,\n    undecided",
  );
  expect(formatMarkdown(table)).toBe("| a | b |\n| --- | --- |\n| long | 1 |\n| x\\|y z | 2 |");
  expect([percent(1), percent(0.996), percent(0.5), percent(0.04), percent(0)]).toEqual([
    "100 %",
    "99.6 %",
    "50 %",
    "4.0 %",
    "0 %",
  ]);
  expect([signed(-0.01, 1), signed(-1.25, 1), signed(2, 1)]).toEqual(["0.0", "−1.3", "+2.0"]);
  expect(makeAttempt().score).toBe(1);
});
