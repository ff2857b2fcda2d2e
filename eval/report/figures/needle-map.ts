/** Needles found, by the length of the text and the depth of the needle: one map a method. */
import { group, mean } from "d3-array";
import type { Attempt } from "../../attempts/attempt.ts";
import type { ReportData } from "../report-data.ts";
import { budgetName } from "../table.ts";
import { type Figure, makePanel, type Panel, Plot } from "./figure.ts";
import { heatMarks } from "./heat-marks.ts";
import { AXIS } from "./scales.ts";

const WIDTH = 300;

/** Maps of every needle task; undefined if there is none. */
export function needleMaps(data: ReportData): Figure[] {
  const tasks = [...new Set(data.places.map(({ task }) => task))].filter((task) => /^needle/.test(task));
  return tasks.flatMap((task) => needleMap(data, task) ?? []);
}

interface MapCell {
  readonly length: string;
  readonly depth: string;
  readonly value: number;
  readonly text: string;
  readonly title: string;
}

function needleMap({ attempts, methods }: ReportData, task: string): Figure | undefined {
  const rows = attempts.filter((row) => row.task === task && depthOf(row) !== undefined);
  if (rows.length === 0) return undefined;
  const lengths = [...new Set(rows.map(({ length = 0 }) => length))].sort((a, b) => a - b).map(budgetName);
  const depths = [...new Set(rows.map((row) => depthOf(row) ?? 0))].sort((a, b) => a - b).map(String);
  const panels = methods.flatMap(({ spec, series, budget }): Panel[] => {
    const members = rows.filter(({ attention }) => attention === spec);
    if (members.length === 0) return [];
    const title = budget === undefined ? series.label : `${series.label}, budget ${budgetName(budget)}`;
    return [mapPanel(title, mapCells(members), { lengths, depths })];
  });
  return {
    id: `${task}-map`,
    title: `Needles found (${task})`,
    caption:
      "Share of needles found, by the length of the text in tokens and the depth of the needle in percent of it; a number of needles if " +
      "there is more than one a cell. A stronger colour is more.",
    panels,
    legend: [],
    panelWidth: WIDTH,
  };
}

function mapCells(rows: readonly Attempt[]): MapCell[] {
  const byCell = group(rows, (row) => `${row.length ?? 0} ${depthOf(row)}`);
  return [...byCell.values()].map((members) => {
    const { length = 0 } = members[0] ?? {};
    const depth = String(depthOf(members[0]) ?? 0);
    const found = members.filter(({ score }) => score === 1).length;
    const value = mean(members, ({ score }) => score) ?? 0;
    const text = members.length === 1 ? "" : `${found}/${members.length}`;
    return {
      ...{ length: budgetName(length), depth, value, text },
      title: `${length} tokens, depth ${depth} %: ${found} of ${members.length} found`,
    };
  });
}

function mapPanel(
  title: string,
  cells: readonly MapCell[],
  { lengths, depths }: { readonly lengths: readonly string[]; readonly depths: readonly string[] },
): Panel {
  const found = mean(cells, ({ value }) => value) ?? 0;
  return makePanel({
    title,
    alt: `${title}: ${(100 * found).toFixed(0)} % found. ${cells.map((cell) => cell.title).join("; ")}.`,
    plot: {
      ...{ width: WIDTH, height: 56 + 22 * depths.length },
      ...{ marginLeft: 44, marginBottom: 38, marginTop: 18, marginRight: 8 },
      x: { domain: [...lengths], type: "band", padding: 0.04 },
      y: { domain: [...depths], type: "band", padding: 0.06 },
      marks: [
        Plot.axisX({ label: "tokens", labelAnchor: "center", ...AXIS }),
        Plot.axisY({ label: "depth, %", ...AXIS }),
        ...heatMarks(cells, { x: "length", y: "depth" }),
      ],
    },
  });
}

/** The depth that ends the id of a needle's problem, "…-depth-44", in percent. */
function depthOf(row: Pick<Attempt, "problemId"> | undefined): number | undefined {
  const found = /depth-(\d{1,3})$/.exec(row?.problemId ?? "");
  return found ? Number(found[1]) : undefined;
}
