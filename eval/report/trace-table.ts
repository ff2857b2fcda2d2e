import { mean } from "d3-array";
import type { TraceSummary } from "../metrics/trace-summary.ts";
import type { ReportData } from "./report-data.ts";
import { percent, type Table } from "./table.ts";
import { withoutEmptyColumns } from "./tables.ts";
import type { MethodTrace, Overlap } from "./traces.ts";

/** A row a traced attention, in the order of the methods; columns that none has are left out. */
export function traceTable({ traces, methods }: Pick<ReportData, "traces" | "methods">): Table {
  const rows = methods.flatMap(({ spec }) => {
    const trace = traces.find(({ attention }) => attention === spec);
    return trace === undefined ? [] : [rowOf(trace)];
  });
  return withoutEmptyColumns({
    header: [
      ...["attention", "steps", "recall, %", "error", "heads alike", "layers alike", "steps alike"],
      ...["merge depth", "deepest", "cache read", "kB a step"],
    ],
    rows,
  });
}

function rowOf({ attention, summary, headOverlap, layerOverlap }: MethodTrace): string[] {
  const { steps, layers, attendedFraction, kvBytes } = summary;
  const recall = meanOf(layers, ({ recall: heads }) => heads);
  return [
    ...[attention, String(steps), recall === undefined ? "" : (100 * recall).toFixed(1)],
    fixed(
      meanOf(layers, ({ outputError }) => outputError),
      3,
    ),
    fixed(meanApart(headOverlap), 2),
    fixed(meanApart(layerOverlap), 2),
    fixed(
      mean(layers, ({ stepOverlap }) => stepOverlap),
      2,
    ),
    fixed(
      mean(layers, ({ mergeDepth }) => mergeDepth),
      0,
    ),
    fixed(Math.max(...layers.map(({ maxMergeDepth = -1 }) => maxMergeDepth)), 0),
    ...[percent(attendedFraction), (kvBytes / 1000).toFixed(0)],
  ];
}

/** Mean over heads, then over the layers that have a value. */
function meanOf(
  layers: TraceSummary["layers"],
  valuesOf: (layer: TraceSummary["layers"][number]) => readonly number[] | undefined,
): number | undefined {
  return mean(layers, (layer) => mean(valuesOf(layer) ?? []));
}

/** Mean over pairs of different ones. */
function meanApart(overlaps: readonly Overlap[]): number | undefined {
  return mean(
    overlaps.filter(({ a, b }) => a !== b),
    ({ overlap }) => overlap,
  );
}

function fixed(value: number | undefined, digits: number): string {
  return value === undefined || value < 0 ? "" : value.toFixed(digits);
}
