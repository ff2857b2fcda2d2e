/** What traces show: attention recall as the context grows, and how alike the selections of layers and heads are. */
import { mean } from "d3-array";
import type { Method } from "../methods.ts";
import type { ReportData } from "../report-data.ts";
import { budgetName } from "../table.ts";
import type { MethodTrace, Overlap } from "../traces.ts";
import { type Figure, makePanel, PANEL, type Panel, Plot } from "./figure.ts";
import { heatMarks } from "./heat-marks.ts";
import { AXIS } from "./scales.ts";

const WIDTH = 300;
/** Layers or heads up to which a heat map has room for figures. */
const ROOMY = 10;
/** Ticks of a heat map's axis that fit. */
const MAX_TICKS = 12;

interface Traced {
  readonly trace: MethodTrace;
  readonly method: Method;
}

/** The figures that the traces allow. */
export function traceFigures({ traces, methods }: ReportData): Figure[] {
  const traced = methods.flatMap((method): Traced[] => {
    const trace = traces.find(({ attention }) => attention === method.spec);
    return trace === undefined ? [] : [{ trace, method }];
  });
  const alike =
    "Jaccard index of the tokens selected, mean over sampled steps: 1 is the same set. A stronger colour is more.";
  return [
    ...recallFigure(traced),
    ...overlapFigure(traced, {
      ...{ id: "layer-overlap", title: "Overlap of layers", what: "layer", caption: alike },
      of: ({ layerOverlap }) => layerOverlap,
    }),
    ...overlapFigure(traced, {
      ...{ id: "head-overlap", title: "Overlap of heads", what: "head" },
      caption: `${alike} Mean over layers; methods with one set for all heads are left out.`,
      of: ({ headOverlap }) => headOverlap,
    }),
  ];
}

function recallFigure(traced: readonly Traced[]): Figure[] {
  const shown = traced.filter(({ trace }) => trace.recall.length > 0);
  const budgets = [...new Set(shown.map(({ method }) => method.budget))].sort((a, b) => (a ?? 0) - (b ?? 0));
  const positions = shown.flatMap(({ trace }) => trace.recall.map(({ position }) => position));
  const span = [Math.min(...positions), Math.max(...positions)] as const;
  const panels = budgets.map((budget) =>
    recallPanel(
      budget === undefined ? "no budget" : `budget ${budgetName(budget)}`,
      shown.filter(({ method }) => method.budget === budget),
      span,
    ),
  );
  if (panels.length === 0) return [];
  return [
    {
      id: "recall-by-position",
      title: "Attention recall over steps",
      caption:
        "Share of full attention's weight that the selected tokens have, mean over layers and heads of sampled decode steps. There are no " +
        "intervals: steps of one response depend on each other.",
      panels,
      legend: [...new Set(shown.map(({ method }) => method.series))],
      panelWidth: PANEL.width,
    },
  ];
}

function recallPanel(title: string, traced: readonly Traced[], span: readonly [number, number]): Panel {
  const means = traced.map(
    ({ trace, method }) =>
      `${method.series.label} ${(100 * (mean(trace.recall, ({ recall }) => recall) ?? 0)).toFixed(1)} %`,
  );
  return makePanel({
    title,
    alt: `Attention recall, ${title}, mean over steps: ${means.join("; ")}.`,
    plot: {
      ...{ marginLeft: 44, marginBottom: 42, marginTop: 24, marginRight: 14 },
      x: { domain: span, nice: true, label: "tokens cached" },
      y: { domain: [0, 1], label: "recall, %" },
      marks: [
        Plot.gridY({ ticks: 5, stroke: "var(--grid)", strokeOpacity: 1 }),
        Plot.axisY({ ticks: 5, tickFormat: (share: number) => (100 * share).toFixed(0), ...AXIS }),
        Plot.axisX({ ticks: 5, labelAnchor: "center", tickFormat: budgetName, ...AXIS }),
        ...traced.flatMap(({ trace, method: { series } }) => [
          Plot.line(trace.recall, {
            ...{ x: "position", y: "recall", stroke: series.colour, strokeWidth: 2 },
            ...(series.dash !== undefined && { strokeDasharray: series.dash }),
          }),
          Plot.dot(trace.recall.slice(-1), {
            ...{ x: "position", y: "recall", symbol: series.symbol, fill: series.colour, r: 4.5 },
            ...{ stroke: "var(--surface)", strokeWidth: 1.5 },
          }),
        ]),
      ],
    },
  });
}

/** ".25" and "1": what a cell has room for. */
function shortShare(share: number): string {
  return share
    .toFixed(2)
    .replace(/^0(?=\.)/, "")
    .replace(/\.00$/, "");
}

interface OverlapKind {
  readonly id: string;
  readonly title: string;
  readonly what: string;
  readonly caption: string;
  readonly of: (trace: MethodTrace) => readonly Overlap[];
}

function overlapFigure(traced: readonly Traced[], kind: OverlapKind): Figure[] {
  const panels = traced.flatMap(({ trace, method: { series, budget } }): Panel[] => {
    const overlaps = kind.of(trace);
    if (overlaps.length === 0) return [];
    const title = budget === undefined ? series.label : `${series.label}, budget ${budgetName(budget)}`;
    return [overlapPanel(title, overlaps, kind.what)];
  });
  if (panels.length === 0) return [];
  const { id, title, caption } = kind;
  return [{ id, title, caption, panels, legend: [], panelWidth: WIDTH }];
}

function overlapPanel(title: string, overlaps: readonly Overlap[], what: string): Panel {
  const members = [...new Set(overlaps.map(({ a }) => a))].sort((a, b) => a - b);
  const domain = members.map(String);
  const every = Math.ceil(members.length / MAX_TICKS);
  const ticks = domain.filter((_, i) => i % every === 0);
  const isRoomy = members.length <= ROOMY;
  const cells = overlaps.map(({ a, b, overlap }) => ({
    ...{ a: String(a), b: String(b), value: Math.min(1, Math.max(0, overlap)) },
    text: isRoomy ? shortShare(overlap) : "",
    title: `${what}s ${a} and ${b}: ${overlap.toFixed(2)}`,
  }));
  const apart = mean(
    overlaps.filter(({ a, b }) => a !== b),
    ({ overlap }) => overlap,
  );
  return makePanel({
    title,
    alt: `Overlap of the selections of ${members.length} ${what}s under ${title}; mean of different ones ${apart?.toFixed(2) ?? "unknown"}.`,
    plot: {
      ...{ width: WIDTH, height: WIDTH, marginLeft: 40, marginBottom: 40, marginTop: 22, marginRight: 8 },
      x: { domain, type: "band", padding: 0.03 },
      y: { domain, type: "band", padding: 0.03 },
      marks: [
        Plot.axisX(ticks, { label: what, labelAnchor: "center", ...AXIS }),
        Plot.axisY(ticks, { label: what, ...AXIS }),
        ...heatMarks(cells, { x: "b", y: "a" }),
      ],
    },
  });
}
