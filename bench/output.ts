import { describeRun } from "./machine.ts";

type Row = Readonly<Record<string, string | number>>;

/** One JSON object with the machine, or a table of all the rows' keys. */
export function printRows(rows: readonly Row[], isJson: boolean): void {
  if (isJson) printJson({ rows });
  else printTable(rows);
}

/** The same for tables of several kinds. */
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

function printJson(tables: Readonly<Record<string, readonly Row[]>>): void {
  process.stdout.write(`${JSON.stringify({ run: describeRun(), ...tables }, rounded, 1)}\n`);
}

/** Four digits: more than any of these figures is good for. */
function rounded(_key: string, value: unknown): unknown {
  if (typeof value !== "number" || Number.isInteger(value)) return value;
  return Number(value.toPrecision(4));
}

function printTable(rows: readonly Row[]): void {
  const names = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  const lines = [names, ...rows.map((row) => names.map((name) => format(row[name])))];
  const widths = names.map((_, i) => Math.max(...lines.map((line) => line[i]?.length ?? 0)));
  for (const line of lines)
    process.stdout.write(
      `${line
        .map((cell, i) => cell.padEnd(widths[i] ?? 0))
        .join("  ")
        .trimEnd()}\n`,
    );
}

function format(value: string | number | undefined): string {
  if (typeof value !== "number") return value ?? "";
  return Number.isInteger(value) ? String(value) : value.toPrecision(3);
}
