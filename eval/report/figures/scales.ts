/** Axes that say what they show: whole ticks, and the same span in every panel of a figure. */
import type { Estimate } from "../../statistics/index.ts";
import { budgetName } from "../table.ts";
import { Plot } from "./figure.ts";

export interface AccuracyAxis {
  readonly scale: Plot.ScaleOptions;
  readonly marks: Plot.Markish[];
}

/** The y axis of accuracies: from a multiple of 20 % below the lowest interval to 100 %. */
export function accuracyAxis(estimates: readonly Estimate[]): AccuracyAxis {
  const lowest = Math.min(...estimates.map(({ value, interval }) => interval?.[0] ?? value));
  const start = Math.min(0.8, Math.max(0, Math.floor(lowest / 0.2 + 1e-9) * 0.2));
  const label = start > 0 ? `accuracy, % (from ${(100 * start).toFixed(0)})` : "accuracy, %";
  return { scale: { domain: [start, 1], label }, marks: accuracyTicks(start) };
}

/** Ticks of an accuracy axis every 20 %, or every 5 or 10 if it is short. */
function accuracyTicks(start: number): Plot.Markish[] {
  const step = start >= 0.8 ? 0.05 : start >= 0.6 ? 0.1 : 0.2;
  const ticks = Array.from({ length: Math.round((1 - start) / step) + 1 }, (_, i) => start + i * step);
  return [
    Plot.gridY(ticks, { stroke: "var(--grid)", strokeOpacity: 1 }),
    Plot.axisY(ticks, {
      tickFormat: (share: number) => (100 * share).toFixed(0),
      ...AXIS,
    }),
  ];
}

/** Marks of an axis without tick lines, in the ink of secondary text. */
export const AXIS = { tickSize: 0, tickPadding: 8, color: "var(--ink-2)", labelArrow: "none" } as const;

/** The x axis of budgets, each of which doubles the one before by as much. */
export function budgetAxis(budgets: readonly number[]): { scale: Plot.ScaleOptions; marks: Plot.Markish[] } {
  const sorted = [...new Set(budgets)].sort((a, b) => a - b);
  const [first = 1, last = 1] = [sorted[0], sorted.at(-1)];
  const room = Math.max(1.12, (last / first) ** 0.06);
  const shown = thin(sorted);
  return {
    scale: { type: "log", base: 2, domain: [first / room, last * room] },
    marks: [
      Plot.axisX(shown, { tickFormat: budgetName, label: "token budget", labelAnchor: "center", ...AXIS }),
    ],
  };
}

/** At most so many ticks, those apart enough to be read. */
function thin(sorted: readonly number[]): number[] {
  const span = Math.log((sorted.at(-1) ?? 1) / (sorted[0] ?? 1));
  const kept: number[] = [];
  for (const value of sorted) {
    const before = kept.at(-1);
    if (before === undefined || Math.log(value / before) >= span / 9) kept.push(value);
  }
  return kept;
}
