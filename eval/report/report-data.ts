/** What a report shows: the run's cells and comparisons, with every method's looks. */
import { group } from "d3-array";
import type { Attempt } from "../attempts/attempt.ts";
import type { RunSettings } from "../attempts/settings-file.ts";
import {
  type CellSummary,
  comparePaired,
  type PairedComparison,
  summarise,
  WARNING_RULES,
} from "../statistics/index.ts";
import { type Method, methodsOf, type Series } from "./methods.ts";
import { budgetName } from "./table.ts";
import type { MethodTrace } from "./traces.ts";

export interface ReportData {
  readonly folder: string;
  readonly settings: RunSettings;
  readonly attempts: readonly Attempt[];
  readonly cells: readonly ReportCell[];
  /** Every method beside the baseline; empty if there is no baseline. */
  readonly comparisons: readonly ReportComparison[];
  readonly baseline: string | undefined;
  readonly methods: readonly Method[];
  /** One legend entry each, in order. */
  readonly series: readonly Series[];
  readonly places: readonly Place[];
  readonly traces: readonly MethodTrace[];
  /** What a reader has to know before believing the figures. */
  readonly warnings: readonly string[];
  readonly rules: readonly string[];
}

/** A task at a length: one panel of a figure, one column of a table. */
export interface Place {
  readonly key: string;
  readonly title: string;
  readonly task: string;
  readonly length: number | undefined;
  readonly metric: Attempt["metric"];
}

export type ReportCell = CellSummary & { readonly method: Method; readonly place: Place };
export type ReportComparison = PairedComparison & { readonly method: Method; readonly place: Place };

export interface ReportInput {
  readonly folder: string;
  readonly settings: RunSettings;
  readonly attempts: readonly Attempt[];
  /** The attention that the others are compared with. Default: full attention, if there is any. */
  readonly baseline?: string;
  readonly traces?: readonly MethodTrace[];
  /** Warnings of reading. */
  readonly notes?: readonly string[];
}

/** Works out the statistics and the looks. @throws ConfigError if no attempt is the named baseline's */
export function makeReportData(input: ReportInput): ReportData {
  const { folder, settings, attempts, traces = [], notes = [] } = input;
  const summaries = summarise(attempts);
  const methods = methodsOf([...summaries, ...traces].map(({ attention }) => attention));
  const bySpec = new Map(methods.map((method) => [method.spec, method]));
  const places = placesOf(summaries);
  const byPlace = new Map(places.map((place) => [place.key, place]));
  const dress = <T extends Pick<Attempt, "task" | "length" | "attention">>(row: T) => {
    const [method, place] = [bySpec.get(row.attention), byPlace.get(placeKey(row))];
    return method && place ? [{ ...row, method, place }] : [];
  };
  const order = new Map(methods.map((method, i) => [method, i]));
  const inOrder = (a: { method: Method; place: Place }, b: { method: Method; place: Place }) =>
    places.indexOf(a.place) - places.indexOf(b.place) ||
    (order.get(a.method) ?? 0) - (order.get(b.method) ?? 0);
  const baseline = input.baseline ?? methods.find(({ series }) => series.role === "baseline")?.spec;
  const compared = baseline === undefined ? [] : comparePaired(attempts, baseline);
  const comparisons = compared.flatMap(dress).sort(inOrder);
  return {
    ...{ folder, settings, attempts, methods, places, traces, comparisons, baseline },
    cells: summaries.flatMap(dress).sort(inOrder),
    series: [...new Set(methods.map(({ series }) => series))],
    warnings: [
      ...notes,
      ...(baseline === undefined && attempts.length > 0
        ? ["no method is the baseline, so that no differences are given; name one with --baseline"]
        : []),
      ...summaries.flatMap(({ warnings }) => warnings),
      ...compared.flatMap(({ warnings }) => warnings),
    ],
    rules: WARNING_RULES,
  };
}

/** Tasks in the order of the rows, each with its lengths in order. */
function placesOf(cells: readonly CellSummary[]): Place[] {
  return [...group(cells, ({ task }) => task).values()].flatMap((members) => {
    const lengths = new Set(members.map(({ length }) => length));
    return [...lengths]
      .sort((a, b) => (a ?? 0) - (b ?? 0))
      .flatMap((length): Place[] => {
        const cell = members.find((member) => member.length === length);
        if (cell === undefined) return [];
        const { task, metric } = cell;
        const title = length === undefined ? task : `${task}, ${budgetName(length)}`;
        return [{ key: placeKey(cell), title, task, length, metric }];
      });
  });
}

function placeKey({ task, length }: { readonly task: string; readonly length?: number }): string {
  return JSON.stringify([task, length ?? null]);
}
