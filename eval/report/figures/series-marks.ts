/** Marks that figures of accuracies share: a line, intervals and symbols a series. */
import type { Estimate } from "../../statistics/index.ts";
import type { Series } from "../methods.ts";
import { Plot } from "./figure.ts";

/** One point of a series; both directions may have an interval. */
export interface SeriesPoint {
  readonly series: Series;
  readonly x: Estimate;
  readonly y: Estimate;
  /** Shown when the pointer rests on the point. */
  readonly title: string;
}

/** Pixels between the interval bars of neighbouring series, which would hide each other at the same x. */
const DODGE = 5;

/**
 * The line, the interval bars and the symbols of each series. `dodge`: series at the same x stand a few pixels apart.
 * Points of a series are joined in the order given.
 */
export function seriesMarks(points: readonly SeriesPoint[], dodge: boolean): Plot.Markish[] {
  const bySeries = new Map<Series, SeriesPoint[]>();
  for (const point of points) bySeries.set(point.series, [...(bySeries.get(point.series) ?? []), point]);
  const drawn = [...bySeries].map(([series, members], i) => {
    const dx = dodge ? (i - (bySeries.size - 1) / 2) * DODGE : 0;
    return { role: series.role, marks: marksOf(series, members, dx) };
  });
  // The bounds lie below: they stand at 0 and 100 %, where methods are.
  const [bounds, others] = [drawn.filter(isBound), drawn.filter((one) => !isBound(one))];
  return [...bounds, ...others].flatMap(({ marks }) => marks);
}

function isBound({ role }: Pick<Series, "role">): boolean {
  return role === "bound";
}

function marksOf(series: Series, points: readonly SeriesPoint[], dx: number): Plot.Markish[] {
  const at = { x: (point: SeriesPoint) => point.x.value, y: (point: SeriesPoint) => point.y.value };
  const { colour: stroke, dash } = series;
  const bar = { stroke, strokeWidth: 1.25, strokeOpacity: 0.75, dx };
  return [
    Plot.line(points, {
      ...at,
      ...{ stroke, strokeWidth: 2, strokeLinejoin: "round", dx },
      ...(dash !== undefined && { strokeDasharray: dash }),
    }),
    Plot.ruleX(points.filter(hasInterval("y")), { x: at.x, y1: low("y"), y2: high("y"), ...bar }),
    Plot.ruleY(points.filter(hasInterval("x")), { y: at.y, x1: low("x"), x2: high("x"), ...bar }),
    Plot.dot(points, {
      ...at,
      ...{ symbol: series.symbol, r: 4.5, fill: stroke, stroke: "var(--surface)", strokeWidth: 1.5, dx },
      title: "title",
    }),
  ];
}

function hasInterval(axis: "x" | "y"): (point: SeriesPoint) => boolean {
  return ({ [axis]: { interval } }) => interval !== null && interval[0] < interval[1];
}
const low = (axis: "x" | "y") => (point: SeriesPoint) => point[axis].interval?.[0] ?? point[axis].value;
const high = (axis: "x" | "y") => (point: SeriesPoint) => point[axis].interval?.[1] ?? point[axis].value;

/** A figure that is known exactly, such as a budget. */
export function exactly(value: number): Estimate {
  return { value, interval: null, intervalBy: "constant" };
}
