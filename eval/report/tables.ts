/** The report's tables as rows of texts, for the page, the terminal and Markdown alike. */
import type { Estimate } from "../statistics/index.ts";
import type { Place, ReportCell, ReportComparison, ReportData } from "./report-data.ts";
import {
  budgetName,
  formatEstimate,
  percent,
  percentEstimate,
  pointsEstimate,
  pValue,
  signed,
  type Table,
  tokens,
} from "./table.ts";

/** Every cell with every figure it has; columns that no cell has are left out. */
export function cellTable(cells: readonly ReportCell[]): Table {
  return withoutEmptyColumns({
    header: [
      ...["task", "length", "attention", "problems", "attempts", "accuracy, % [95 %]", "pass@k, %"],
      ...["loss, nats [95 %]", "perplexity", "tokens [95 %]", "cut", "s a problem", "ms a token"],
      ...["median", "p99", "cache read"],
    ],
    rows: cells.map((cell) => {
      const { accuracy, loss, perplexity, generationTokens, truncated, msPerToken, attendedFraction } = cell;
      const [fewest, most] = cell.attemptsPerProblem;
      return [
        cell.task,
        cell.length === undefined ? "" : String(cell.length),
        cell.attention,
        String(cell.problems),
        fewest === most ? String(most) : `${fewest} to ${most}`,
        text(accuracy, percentEstimate),
        cell.passAt.map(({ k, pass }) => `${k}: ${(100 * pass.value).toFixed(1)}`).join(", "),
        text(loss, (one) => formatEstimate(one, (value) => value.toFixed(3))),
        perplexity === undefined ? "" : perplexity.value.toFixed(2),
        text(generationTokens, (one) => formatEstimate(one, tokens)),
        truncated === undefined ? "" : percent(truncated.value),
        cell.secondsPerProblem === undefined ? "" : cell.secondsPerProblem.value.toPrecision(3),
        ...(msPerToken === undefined
          ? ["", "", ""]
          : [msPerToken.mean.value, msPerToken.median, msPerToken.p99].map((time) => time.toFixed(2))),
        attendedFraction === undefined ? "" : percent(attendedFraction.value),
      ];
    }),
  });
}

/** Every method beside the baseline on the same problems and seeds. */
export function comparisonTable(comparisons: readonly ReportComparison[]): Table {
  return withoutEmptyColumns({
    header: [
      ...["task", "length", "attention", "pairs", "accuracy, points [95 %]", "loss, nats [95 %]"],
      ...["better : worse", "p", "length × [95 %]", "faster × [95 %]", ""],
    ],
    rows: comparisons.map((comparison) => {
      const { metric, difference, lengthRatio, speedup } = comparison;
      return [
        comparison.task,
        comparison.length === undefined ? "" : String(comparison.length),
        comparison.attention,
        String(comparison.pairs),
        metric === "correct" ? pointsEstimate(difference) : "",
        metric === "loss" ? formatEstimate(difference, (value) => signed(value, 3)) : "",
        `${comparison.better} : ${comparison.worse}`,
        pValue(comparison.pValue),
        text(lengthRatio, ratio),
        text(speedup, ratio),
        comparison.isUndecided ? "undecided" : "",
      ];
    }),
  });
}

/** Accuracy with generation length (Fig. 4 of arXiv 2508.07101): a row a method, a column a task and length. */
export interface Matrix {
  readonly places: readonly Place[];
  readonly rows: readonly MatrixRow[];
}
export interface MatrixRow {
  readonly label: string;
  readonly budget: number | undefined;
  readonly attention: string;
  readonly role: "baseline" | "method" | "bound";
  /** In the order of `places`. */
  readonly cells: readonly (MatrixCell | undefined)[];
}
export interface MatrixCell {
  readonly accuracy: Estimate;
  readonly length: Estimate | undefined;
  readonly truncated: number;
  /** No method that is not the baseline or a bound is more accurate here, and one is right at all. */
  readonly isBest: boolean;
}

export function accuracyMatrix({ cells, places, methods }: ReportData): Matrix {
  const columns = places.filter(({ metric }) => metric === "correct");
  const best = columns.map((place) =>
    Math.max(
      ...cells
        .filter((cell) => cell.place === place && cell.method.series.role === "method")
        .map(({ accuracy }) => accuracy?.value ?? 0),
    ),
  );
  const rows = methods.map(({ spec, budget, series }): MatrixRow => {
    const members = columns.map((place, i) => {
      const cell = cells.find((one) => one.place === place && one.attention === spec);
      if (cell?.accuracy === undefined) return undefined;
      return {
        accuracy: cell.accuracy,
        length: cell.generationTokens,
        truncated: cell.truncated?.value ?? 0,
        isBest: series.role === "method" && cell.accuracy.value > 0 && cell.accuracy.value === best[i],
      };
    });
    return { label: series.label, budget, attention: spec, role: series.role, cells: members };
  });
  return { places: columns, rows: rows.filter((row) => row.cells.some((cell) => cell !== undefined)) };
}

/** The matrix as a table of texts; `bold` marks the best of a column. */
export function matrixTable({ places, rows }: Matrix, bold: (text: string) => string): Table {
  return {
    header: ["method", "budget", ...places.map(({ title }) => title)],
    rows: rows.map(({ label, budget, cells }) => [
      label,
      budget === undefined ? "" : budgetName(budget),
      ...cells.map((cell) => {
        if (cell === undefined) return "–";
        const accuracy = percentEstimate(cell.accuracy);
        const length = cell.length === undefined ? "" : ` · ${tokens(cell.length.value)}`;
        return `${cell.isBest ? bold(accuracy) : accuracy}${length}`;
      }),
    ]),
  };
}

function ratio(estimate: Estimate): string {
  return formatEstimate(estimate, (value) => value.toFixed(2));
}

function text(estimate: Estimate | undefined, format: (estimate: Estimate) => string): string {
  return estimate === undefined ? "" : format(estimate);
}

/** Leaves out columns in which no row has a text. */
export function withoutEmptyColumns({ header, rows }: Table): Table {
  const kept = header.map((_, i) => rows.some((row) => (row[i] ?? "") !== ""));
  const keep = (row: readonly string[]) => row.filter((_, i) => kept[i]);
  return { header: keep(header), rows: rows.map(keep) };
}
