import { describeRun } from "./machine.ts";

type Row = Readonly<Record<string, string | number>>;

/** One JSON object with the machine, or a table whose columns are the rows' keys. */
export function printRows(rows: readonly Row[], isJson: boolean): void {
  if (isJson) {
    process.stdout.write(`${JSON.stringify({ run: describeRun(), rows }, undefined, 1)}\n`);
    return;
  }
  const names = Object.keys(rows[0] ?? {});
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
