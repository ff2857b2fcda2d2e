/** Accuracy against what it costs: time a token (Fig. 3 of arXiv 2508.07101), and share of the cache that is read. */
import type { Estimate } from "../../statistics/index.ts";
import type { Place, ReportCell, ReportData } from "../report-data.ts";
import { budgetName, formatEstimate, percentEstimate } from "../table.ts";
import { legendOf } from "./by-budget.ts";
import { type Figure, makePanel, PANEL, type Panel, Plot, placingOf } from "./figure.ts";
import { placeLabels } from "./labels.ts";
import { type AccuracyAxis, AXIS, accuracyAxis } from "./scales.ts";
import { type SeriesPoint, seriesMarks } from "./series-marks.ts";

interface Cost {
  readonly id: string;
  readonly title: string;
  readonly caption: string;
  readonly axis: string;
  readonly of: (cell: ReportCell) => Estimate | undefined;
  readonly format: (value: number) => string;
  /** What the axis reaches at least. */
  readonly end?: number;
}

const FRONT =
  "The stepped line is the front: no method is at least as accurate at a lower cost. Numbers are token budgets; bars are 95 % intervals over problems.";

const TIME: Cost = {
  id: "accuracy-by-time",
  title: "Accuracy against time a token",
  caption: `Share of right answers against the mean time of a decode step on this machine; up and to the left is better. ${FRONT}`,
  axis: "ms a token",
  of: ({ msPerToken }) => msPerToken?.mean,
  format: (value) => value.toFixed(2),
};
const READS: Cost = {
  id: "accuracy-by-reads",
  title: "Accuracy against cache reads",
  caption:
    "Share of right answers against the share of the cached bytes that decoding reads, selection layers and selection's own reads " +
    `included; up and to the left is better. ${FRONT}`,
  axis: "share of the cache read, %",
  of: ({ attendedFraction }) => attendedFraction,
  format: (value) => (100 * value).toFixed(0),
  end: 1,
};

export function accuracyByTime(data: ReportData): Figure | undefined {
  return accuracyByCost(data, TIME);
}

export function accuracyByReads(data: ReportData): Figure | undefined {
  return accuracyByCost(data, READS);
}

/** A cell that has both figures. */
interface Costed {
  readonly cell: ReportCell;
  readonly method: ReportCell["method"];
  readonly accuracy: Estimate;
  readonly cost: Estimate;
}

function accuracyByCost({ cells, places }: ReportData, cost: Cost): Figure | undefined {
  const shown = cells.flatMap((cell): Costed[] => {
    const { accuracy, method, place } = cell;
    const paid = cost.of(cell);
    if (accuracy === undefined || paid === undefined || place.task.startsWith("needle")) return [];
    return [{ cell, method, accuracy, cost: paid }];
  });
  const y = accuracyAxis(shown.map(({ accuracy }) => accuracy));
  const panels = places.flatMap((place) => {
    const members = shown.filter(({ cell }) => cell.place === place);
    return members.length < 2 ? [] : [costPanel(place, members, { cost, y })];
  });
  if (panels.length === 0) return undefined;
  return {
    ...{ id: cost.id, title: cost.title, caption: cost.caption, panels },
    legend: legendOf(shown),
    panelWidth: PANEL.width,
  };
}

function costPanel(
  place: Place,
  cells: readonly Costed[],
  { cost, y }: { readonly cost: Cost; readonly y: AccuracyAxis },
): Panel {
  const points = cells.map(
    ({ cell, method, accuracy, cost: paid }): SeriesPoint => ({
      series: method.series,
      x: paid,
      y: accuracy,
      title: `${cell.attention}\n${percentEstimate(accuracy)} % at ${formatEstimate(paid, cost.format)} ${cost.axis}`,
    }),
  );
  const most = Math.max(...points.map(({ x: { value, interval } }) => interval?.[1] ?? value));
  // Points of a time need no zero, and from zero they would hide each other.
  const start =
    cost.end === undefined
      ? 0.9 * Math.min(...points.map(({ x: { value, interval } }) => interval?.[0] ?? value))
      : 0;
  // Selection's own reads may take more than all of a short cache.
  const end = cost.end !== undefined && most <= cost.end ? cost.end : most * 1.06;
  const frame: Plot.PlotOptions = {
    ...{ marginLeft: 44, marginBottom: 42, marginTop: 24, marginRight: 18 },
    x: { domain: [start, end], label: cost.axis },
    y: y.scale,
  };
  const axes: Plot.Markish[] = [
    ...y.marks,
    Plot.axisX({ ticks: 6, label: cost.axis, labelAnchor: "center", ...percentTicks(cost), ...AXIS }),
  ];
  const toPixels = placingOf({ ...frame, marks: axes });
  const labels = placeLabels(
    cells.map(({ accuracy, cost: paid, method }) => ({
      at: toPixels(paid.value, accuracy.value),
      text: method.budget === undefined || method.series.role === "bound" ? "" : budgetName(method.budget),
    })),
    { left: 46, right: PANEL.width, top: 8, bottom: PANEL.height - 44 },
  );
  return makePanel({
    title: place.title,
    alt: describe(`${cost.title} on ${place.title}`, cells, cost),
    plot: {
      ...frame,
      marks: [
        ...axes,
        ...frontMarks(cells, end),
        ...seriesMarks(points, false),
        ...labels.map(({ text, dx, dy }, i) =>
          Plot.text(text === "" ? [] : [points[i]], {
            ...{ x: points[i]?.x.value, y: points[i]?.y.value, dx, dy },
            ...{ text: () => text, fontSize: 10.5, fill: "var(--ink-2)" },
            ...{ stroke: "var(--surface)", strokeWidth: 3 },
          }),
        ),
      ],
    },
  });
}

function percentTicks(cost: Cost): Pick<Plot.AxisOptions, "tickFormat"> {
  return cost.end === 1 ? { tickFormat: (share: number) => (100 * share).toFixed(0) } : {};
}

/** The stepped line through the cells that no other cell beats in both figures. The bounds do not count: they are no methods. */
function frontMarks(cells: readonly Costed[], end: number): Plot.Markish[] {
  const steps = frontOf(cells.filter(({ method }) => method.series.role !== "bound"));
  const last = steps.at(-1);
  if (last === undefined) return [];
  const path = [
    ...steps.map(({ accuracy, cost }) => [cost.value, accuracy.value]),
    [end, last.accuracy.value],
  ];
  return [
    Plot.line(path, { curve: "step-after", stroke: "var(--ink)", strokeOpacity: 0.28, strokeWidth: 5 }),
  ];
}

/** Cells in the order of cost, each more accurate than all that cost no more. */
export function frontOf<T extends { readonly accuracy: Estimate; readonly cost: Estimate }>(
  cells: readonly T[],
): T[] {
  const byCost = [...cells].sort(
    (a, b) => a.cost.value - b.cost.value || b.accuracy.value - a.accuracy.value,
  );
  let best = Number.NEGATIVE_INFINITY;
  return byCost.filter(({ accuracy: { value } }) => {
    const isBetter = value > best;
    best = Math.max(best, value);
    return isBetter;
  });
}

function describe(what: string, cells: readonly Costed[], { axis, format }: Cost): string {
  const figures = cells.map(
    ({ cell, accuracy, cost }) =>
      `${cell.attention}: ${percentEstimate(accuracy)} % at ${formatEstimate(cost, format)}`,
  );
  return `${what} (${axis}). ${figures.join("; ")}.`;
}
