/** Tables and figures as text, for terminals and for Markdown. */
import type { Estimate } from "../statistics/index.ts";

export interface Table {
  readonly header: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

/**
 * Pads columns to their widest cell, two blanks apart. In a terminal that is narrower than that, each row becomes a heading, its
 * cells up to the column `name`, and lines of the others with the names of their columns.
 */
export function formatTable(
  table: Table,
  { width, name }: { width?: number | undefined; name?: string } = {},
): string {
  const wide = formatColumns(table);
  const isTooWide = width !== undefined && wide.split("\n").some((line) => line.length > width);
  return isTooWide ? formatRecords(table, width, name) : wide;
}

const INDENT = "    ";

function formatRecords({ header, rows }: Table, width: number, name: string | undefined): string {
  const numNames = header.indexOf(name ?? "") + 1 || 1;
  const records = rows.map((row) => {
    const figures = row
      .slice(numNames)
      .flatMap((cell, i) => (cell === "" ? [] : [`${header[numNames + i] ?? ""} ${cell}`.trim()]));
    const lines = [""];
    for (const [i, figure] of figures.entries()) {
      const text = i === figures.length - 1 ? figure : `${figure},`;
      const line = `${lines.at(-1)} ${text}`.trim();
      if (INDENT.length + line.length > width && lines.at(-1) !== "") lines.push(text);
      else lines[lines.length - 1] = line;
    }
    const heading = row.slice(0, numNames).filter((cell) => cell !== "");
    return [heading.join("  "), ...lines.filter((line) => line !== "").map((line) => INDENT + line)].join(
      "\n",
    );
  });
  return records.join("\n");
}

function formatColumns({ header, rows }: Table): string {
  const widths = header.map((name, i) => Math.max(name.length, ...rows.map((row) => row[i]?.length ?? 0)));
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, i) => cell.padEnd(widths[i] ?? 0))
      .join("  ")
      .trimEnd();
  return [line(header), ...rows.map(line)].join("\n");
}

/** A Markdown table; bars and line ends within cells are escaped. */
export function formatMarkdown({ header, rows }: Table): string {
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell) => cell.replaceAll("|", "\\|").replace(/\s*\n\s*/g, " ")).join(" | ")} |`;
  return [line(header), line(header.map(() => "---")), ...rows.map(line)].join("\n");
}

/** "83 %"; one decimal where a whole percent would hide the figure. */
export function percent(share: number): string {
  const digits = (share > 0 && share < 0.1) || (share > 0.99 && share < 1) ? 1 : 0;
  return `${(100 * share).toFixed(digits)} %`;
}

/** "83.3 [78.0, 88.1]": a share in percent with its interval. */
export function percentEstimate(estimate: Estimate | undefined, digits = 1): string {
  return formatEstimate(estimate, (share) => (100 * share).toFixed(digits));
}

/** "+1.2 [-0.4, 2.9]": a difference of shares in points. */
export function pointsEstimate(estimate: Estimate | undefined): string {
  return formatEstimate(estimate, (share) => signed(100 * share, 1));
}

/** A figure and its interval. No interval is "[?]", an absent figure "–". */
export function formatEstimate(estimate: Estimate | undefined, format: (value: number) => string): string {
  if (estimate === undefined) return "–";
  const { value, interval, intervalBy } = estimate;
  if (intervalBy === "constant") return format(value);
  return `${format(value)} ${interval === null ? "[?]" : `[${format(interval[0])}, ${format(interval[1])}]`}`;
}

/** With its sign, and no sign at what rounds to 0. */
export function signed(value: number, digits: number): string {
  const text = value.toFixed(digits);
  if (Number(text) === 0) return (0).toFixed(digits);
  return value > 0 ? `+${text}` : text.replace("-", "−");
}

/** "940", "14.8K": tokens in at most four characters or so. */
export function tokens(count: number): string {
  if (count < 1000) return count.toFixed(0);
  return `${(count / 1000).toFixed(count < 9950 ? 2 : 1)}K`;
}

/** A p-value to two digits; "<0.001" below. */
export function pValue(value: number): string {
  return value < 0.001 ? "<0.001" : value.toPrecision(2);
}

/** "256", "1K", "4K": a budget or a length as papers write it, if it is a whole number of 1024 tokens. */
export function budgetName(budget: number): string {
  return budget >= 1024 && budget % 1024 === 0 ? `${budget / 1024}K` : String(budget);
}
