/** Tables of an evaluation for a terminal. */
import { formatTable, percent } from "../report/table.ts";
import type { CellSummary, Estimate, PairedComparison } from "../statistics/index.ts";

type Format = (value: number) => string;

const decimals =
  (digits: number): Format =>
  (value) =>
    value.toFixed(digits);
const points: Format = (share) => `${share < 0 ? "−" : "+"}${Math.abs(100 * share).toFixed(1)}`;
const signed: Format = (value) => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(3)}`;

/** One row a cell: means with their 95 % intervals. width: columns of the terminal */
export function describeCells(cells: readonly CellSummary[], width?: number): string {
  const hasLengths = cells.some(({ length }) => length !== undefined);
  const header = [
    ...["task", ...(hasLengths ? ["length"] : []), "attention", "problems", "attempts"],
    ...["score (95 %)", "tokens (95 %)", "cut", "cache read", "ms/token"],
  ];
  const table = {
    header,
    rows: cells.map((cell) => [
      cell.task,
      ...(hasLengths ? [cell.length === undefined ? "" : String(cell.length)] : []),
      cell.attention,
      String(cell.problems),
      String(cell.attempts),
      cell.accuracy ? withInterval(cell.accuracy, percent) : withInterval(cell.loss, decimals(3), " nats"),
      withInterval(cell.generationTokens, decimals(0)),
      cell.truncated === undefined ? "" : percent(cell.truncated.value),
      cell.attendedFraction === undefined ? "" : percent(cell.attendedFraction.value),
      cell.msPerToken === undefined ? "" : cell.msPerToken.mean.value.toFixed(2),
    ]),
  };
  return formatTable(table, { width, name: "attention" });
}

/** Methods beside the first one, on the same problems and seeds; nothing if there is one method. */
export function describePairs(pairs: readonly PairedComparison[], width?: number): string[] {
  const [first] = pairs;
  if (first === undefined) return [];
  const hasLengths = pairs.some(({ length }) => length !== undefined);
  const name = `beside ${first.baseline}`;
  const header = [
    ...["task", ...(hasLengths ? ["length"] : []), name, "pairs"],
    ...["difference (95 %)", "better", "worse", "length ratio (95 %)"],
  ];
  const table = {
    header,
    rows: pairs.map((pair) => [
      pair.task,
      ...(hasLengths ? [pair.length === undefined ? "" : String(pair.length)] : []),
      pair.attention,
      String(pair.pairs),
      pair.metric === "correct"
        ? withInterval(pair.difference, points, " points")
        : withInterval(pair.difference, signed, " nats"),
      String(pair.better),
      String(pair.worse),
      withInterval(pair.lengthRatio, decimals(2)),
    ]),
  };
  return [formatTable(table, { width, name })];
}

/** A figure and the ends of its interval, if it has one; empty without a figure. */
export function withInterval(estimate: Estimate | undefined, format: Format, unit = ""): string {
  if (estimate === undefined) return "";
  const { value, interval } = estimate;
  const ends = interval === null ? "" : ` (${format(interval[0])} to ${format(interval[1])})`;
  return `${format(value)}${unit}${ends}`;
}
