import { describeRun, type Revision } from "./machine.ts";

type Cell = string | number | undefined;
type Row = Readonly<Record<string, Cell>>;

/** One JSON object with the machine, or a table of all the rows' keys. */
export function printRows(rows: readonly Row[], isJson: boolean): void {
  if (isJson) printJson({ rows });
  else printTable(rows);
}

/** One JSON object with the machine and all tables, or each table under its name. */
export function printTables(tables: Readonly<Record<string, readonly Row[]>>, isJson: boolean): void {
  if (isJson) {
    printJson(tables);
    return;
  }
  for (const [name, rows] of Object.entries(tables)) {
    process.stdout.write(`${name}\n`);
    printTable(rows);
    process.stdout.write("\n");
  }
}

export function printJson(content: Readonly<Record<string, unknown>>): void {
  process.stdout.write(runJson(content));
}

/** The content as JSON, with the machine, the command and the commit. */
export function runJson(content: Readonly<Record<string, unknown>>, revision?: Revision): string {
  return `${JSON.stringify({ run: describeRun(revision), ...content }, rounded, 1)}\n`;
}

/** The rows as a Markdown table; its columns are the keys of all rows. */
export function markdownTable(rows: readonly Row[]): string {
  const [names = [], ...lines] = cells(rows);
  const line = (texts: readonly string[]) => `| ${texts.join(" | ")} |\n`;
  return [names, names.map(() => "---"), ...lines].map(line).join("");
}

/** Rounds to four digits, more than the precision of any figure here. */
function rounded(_key: string, value: unknown): unknown {
  if (typeof value !== "number" || Number.isInteger(value)) return value;
  return Number(value.toPrecision(4));
}

function printTable(rows: readonly Row[]): void {
  const lines = cells(rows);
  const widths = (lines[0] ?? []).map((_, i) => Math.max(...lines.map((line) => line[i]?.length ?? 0)));
  for (const line of lines)
    process.stdout.write(
      `${line
        .map((cell, i) => cell.padEnd(widths[i] ?? 0))
        .join("  ")
        .trimEnd()}\n`,
    );
}

/** The column names, then one line a row. */
function cells(rows: readonly Row[]): readonly (readonly string[])[] {
  const names = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  return [names, ...rows.map((row) => names.map((name) => format(row[name])))];
}

function format(value: Cell): string {
  if (typeof value !== "number") return value ?? "";
  if (Number.isInteger(value)) return String(value);
  return Math.abs(value) >= 1000 ? value.toFixed(0) : value.toPrecision(3);
}
