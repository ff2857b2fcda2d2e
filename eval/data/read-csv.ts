import { parse } from "csv-parse/sync";
import { checkCount, type DataRecord, type Refuse } from "./data-record.ts";

/** Reads CSV whose first row names the columns. @throws what `refuse` makes, naming the line */
export function readCsv(text: string, refuse: Refuse): readonly DataRecord[] {
  let rows: readonly (readonly string[])[];
  try {
    rows = parse(text, { skip_empty_lines: true, relax_column_count: false });
  } catch (cause) {
    throw refuse(`damaged CSV: ${cause instanceof Error ? cause.message : String(cause)}`, cause);
  }
  const [names = [], ...body] = rows;
  checkCount(body.length, refuse);
  const repeated = names.find((name, index) => names.indexOf(name) !== index);
  if (repeated !== undefined) throw refuse(`two columns have the name "${repeated}"`);
  return body.map((row, index) => ({
    fields: Object.fromEntries(names.map((name, column) => [name.trim(), row[column] ?? ""])),
    place: `row ${index + 1}`,
  }));
}
