/** Accuracy, and loss over full attention, against the token budget (Fig. 2 of arXiv 2508.07101). */
import type { Estimate } from "../../statistics/index.ts";
import type { Series } from "../methods.ts";
import type { Place, ReportCell, ReportComparison, ReportData } from "../report-data.ts";
import { formatEstimate, percentEstimate, signed } from "../table.ts";
import { type Figure, makePanel, PANEL, type Panel, Plot } from "./figure.ts";
import { type AccuracyAxis, AXIS, accuracyAxis, budgetAxis } from "./scales.ts";
import { exactly, type SeriesPoint, seriesMarks } from "./series-marks.ts";

/** Accuracy against budget, with full attention as a line and its interval as a band. Undefined if there is nothing to show. */
export function accuracyByBudget({ cells, places }: ReportData): Figure | undefined {
  const shown = cells.filter(hasAccuracy).filter(({ place }) => !place.task.startsWith("needle"));
  const budgeted = shown.filter(({ method }) => method.budget !== undefined);
  const full = shown.filter(({ method }) => method.series.role === "baseline");
  const axis = accuracyAxis([...budgeted, ...full].map(({ accuracy }) => accuracy));
  const panels = places.flatMap((place): Panel[] => {
    const members = budgeted.filter((cell) => cell.place === place);
    if (members.length === 0) return [];
    return [
      accuracyPanel(
        place,
        members,
        full.find((cell) => cell.place === place),
        axis,
      ),
    ];
  });
  if (panels.length === 0) return undefined;
  return {
    id: "accuracy-by-budget",
    title: "Accuracy against token budget",
    caption:
      "Share of right answers against the tokens that a decode step may attend to. Bars are 95 % intervals over problems; the line and " +
      "its band are full attention. Points of methods at one budget stand a little apart, so that no bar hides another.",
    panels,
    legend: legendOf([...full, ...budgeted]),
    panelWidth: PANEL.width,
  };
}

type Accurate = ReportCell & { readonly accuracy: Estimate };
function hasAccuracy(cell: ReportCell): cell is Accurate {
  return cell.accuracy !== undefined;
}

function accuracyPanel(
  place: Place,
  cells: readonly Accurate[],
  full: Accurate | undefined,
  y: AccuracyAxis,
): Panel {
  const points = cells.map(
    (cell): SeriesPoint => ({
      series: cell.method.series,
      x: exactly(cell.method.budget ?? 0),
      y: cell.accuracy,
      title: `${cell.attention}\n${percentEstimate(cell.accuracy)} % of ${cell.problems} problems`,
    }),
  );
  const budgets = budgetAxis(points.map(({ x }) => x.value));
  return makePanel({
    title: place.title,
    alt: describe(`Accuracy by budget on ${place.title}`, cells, full),
    plot: {
      ...{ marginLeft: 44, marginBottom: 42, marginTop: 24, marginRight: 14 },
      x: budgets.scale,
      y: y.scale,
      marks: [...y.marks, ...budgets.marks, ...(full ? fullLine(full) : []), ...seriesMarks(points, true)],
    },
  });
}

/** Full attention: its interval as a band, its value as a line with a label. */
function fullLine({ accuracy: { value, interval } }: Accurate): Plot.Markish[] {
  const band = interval === null ? [] : [interval];
  return [
    Plot.rect(band, { y1: "0", y2: "1", fill: "var(--ink)", fillOpacity: 0.07, inset: 0 }),
    Plot.ruleY([value], { stroke: "var(--ink)", strokeWidth: 1.5 }),
  ];
}

function describe(what: string, cells: readonly Accurate[], full: Accurate | undefined): string {
  const figures = cells.map(
    ({ method, accuracy }) =>
      `${method.series.label} at ${method.budget} tokens ${percentEstimate(accuracy)} %`,
  );
  const line = full === undefined ? [] : [`full attention ${percentEstimate(full.accuracy)} %`];
  return `${what}: ${[...line, ...figures].join("; ")}.`;
}

export function legendOf(cells: readonly { readonly method: ReportCell["method"] }[]): Series[] {
  return [...new Set(cells.map(({ method }) => method.series))];
}

/** Extra loss over the baseline against budget, from pairs. Undefined if no loss was measured. */
export function lossByBudget({ comparisons, places, baseline }: ReportData): Figure | undefined {
  const shown = comparisons.filter(({ metric, method }) => metric === "loss" && method.budget !== undefined);
  if (shown.length === 0) return undefined;
  return {
    id: "loss-by-budget",
    title: "Loss over full attention",
    caption:
      `Mean negative log-likelihood a forced token in nats, minus that of ${baseline} on the same tokens; 0 is as good, and 0.01 is one ` +
      "percent of perplexity. Bars are paired 95 % intervals over texts.",
    panels: places.flatMap((place) => {
      const members = shown.filter((comparison) => comparison.place === place);
      return members.length === 0 ? [] : [lossPanel(place, members)];
    }),
    legend: legendOf(shown),
    panelWidth: PANEL.width,
  };
}

function lossPanel(place: Place, comparisons: readonly ReportComparison[]): Panel {
  const text = (estimate: Estimate) => formatEstimate(estimate, (value) => signed(value, 3));
  const points = comparisons.map(
    ({ method, difference, attention, problems }): SeriesPoint => ({
      series: method.series,
      x: exactly(method.budget ?? 0),
      y: difference,
      title: `${attention}\n${text(difference)} nats a token, ${problems} texts`,
    }),
  );
  const budgets = budgetAxis(points.map(({ x }) => x.value));
  const figures = comparisons.map(
    ({ method, difference }) => `${method.series.label} at ${method.budget} tokens ${text(difference)}`,
  );
  return makePanel({
    title: place.title,
    alt: `Extra loss by budget on ${place.title}, in nats a token: ${figures.join("; ")}.`,
    plot: {
      ...{ marginLeft: 52, marginBottom: 42, marginTop: 24, marginRight: 14 },
      x: budgets.scale,
      y: { zero: true, nice: true, label: "extra loss, nats a token" },
      marks: [
        Plot.gridY({ ticks: 5, stroke: "var(--grid)", strokeOpacity: 1 }),
        Plot.axisY({ ticks: 5, ...AXIS }),
        ...budgets.marks,
        Plot.ruleY([0], { stroke: "var(--ink)", strokeWidth: 1.5 }),
        ...seriesMarks(points, true),
      ],
    },
  });
}
