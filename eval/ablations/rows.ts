/** The one table of an ablation: every value of every setting on every task, beside full attention and beside the base. */
import type { Attempt } from "../attempts/attempt.ts";
import { withInterval } from "../commands/describe-results.ts";
import { formatMarkdown as formatMarkdownTable, formatTable, percent } from "../report/table.ts";
import { type Estimate, estimateAll, meanOf } from "../statistics/estimate.ts";
import { type CellSummary, comparePaired, type PairedComparison, summarise } from "../statistics/index.ts";
import type { Factor, Variant } from "./variants.ts";

export interface AblationRow {
  readonly factor: Factor | "full";
  /** Empty for full attention. */
  readonly value: string;
  readonly isBase: boolean;
  readonly attention: string;
  readonly task: string;
  readonly length?: number;
  readonly metric: Attempt["metric"];
  readonly problems: number;
  /** Loss in nats a token over tokens, or the share of right answers. */
  readonly score: Estimate;
  /** Score minus that of full attention on the same problems; absent for full attention. */
  readonly overFull?: Estimate;
  /** Score minus the base's on the same problems; absent for the base. */
  readonly overBase?: Estimate;
  /** Forced tokens a problem that are not the likeliest. */
  readonly wrongTokens?: Estimate;
  readonly attendedFraction?: Estimate;
}

const FULL = "full";

/** Rows in order of the variants, after full attention. Attempts of several tasks and lengths give a row each. */
export function makeRows(
  variants: readonly Variant[],
  attempts: readonly Attempt[],
  base: string,
): AblationRow[] {
  const cells = summarise(attempts);
  const fromFull = byCell(comparePaired(attempts, FULL));
  const fromBase = byCell(comparePaired(attempts, base));
  const full = { factor: FULL, value: "", attention: FULL, isBase: false } as const;
  return [full, ...variants].flatMap(({ factor, value, attention, isBase }) =>
    cells
      .filter((cell) => cell.attention === attention)
      .flatMap((cell) => {
        const { task, length, metric, problems, attendedFraction } = cell;
        const score = cell.loss ?? cell.accuracy;
        if (score === undefined) return [];
        const overFull = fromFull.get(cellKey(cell))?.difference;
        const overBase = fromBase.get(cellKey(cell))?.difference;
        const wrongTokens = countWrong(attempts, cell);
        return {
          ...{ factor, value, isBase, attention, task, metric, problems, score },
          ...(length !== undefined && { length }),
          ...(overFull && { overFull }),
          ...(overBase && { overBase }),
          ...(wrongTokens && { wrongTokens }),
          ...(attendedFraction && { attendedFraction }),
        };
      }),
  );
}

type CellName = Pick<CellSummary, "task" | "length" | "attention">;

function cellKey({ task, length, attention }: CellName): string {
  return JSON.stringify([task, length ?? null, attention]);
}

function byCell(pairs: readonly PairedComparison[]): Map<string, PairedComparison> {
  return new Map(pairs.map((pair) => [cellKey(pair), pair]));
}

function countWrong(attempts: readonly Attempt[], cell: CellSummary): Estimate | undefined {
  const counts = attempts
    .filter((attempt) => cellKey(attempt) === cellKey(cell))
    .flatMap(({ wrongTokens }) => (wrongTokens === undefined ? [] : [wrongTokens]));
  return counts.length === 0 ? undefined : estimateAll({ wrong: meanOf(counts, "quantity") }).wrong;
}

/** The table for a terminal. width: its columns */
export function formatRows(rows: readonly AblationRow[], width?: number): string {
  return formatTable({ header: headerOf(rows), rows: cellsOf(rows) }, { width, name: "length" });
}

/** The table in Markdown. */
export function formatMarkdown(rows: readonly AblationRow[]): string {
  return formatMarkdownTable({ header: headerOf(rows), rows: cellsOf(rows) });
}

function headerOf(rows: readonly AblationRow[]): string[] {
  const isLoss = rows.some(({ metric }) => metric === "loss");
  return [
    ...["setting", "value", "task", "length", "problems", isLoss ? "loss (95 %)" : "right (95 %)"],
    ...["over full (95 %)", "over the base (95 %)", "wrong tokens (95 %)", "cache read"],
  ];
}

function cellsOf(rows: readonly AblationRow[]): string[][] {
  return rows.map((row) => {
    const digits = (value: number) => (row.metric === "loss" ? value.toFixed(4) : percent(value));
    const signed = (value: number) => `${value < 0 ? "−" : "+"}${digits(Math.abs(value))}`;
    return [
      ...[row.factor, `${row.value}${row.isBase ? " (base)" : ""}`, row.task, String(row.length ?? "")],
      ...[String(row.problems), withInterval(row.score, digits)],
      ...[withInterval(row.overFull, signed), row.isBase ? "" : withInterval(row.overBase, signed)],
      withInterval(row.wrongTokens, (value) => value.toFixed(1)),
      row.attendedFraction === undefined ? "" : percent(row.attendedFraction.value),
    ];
  });
}
