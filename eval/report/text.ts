/** The report as text, for terminals and for Markdown. */
import type { ReportData } from "./report-data.ts";
import { formatMarkdown, formatTable, type Table } from "./table.ts";
import { accuracyMatrix, cellTable, comparisonTable, matrixTable } from "./tables.ts";
import { traceTable } from "./trace-table.ts";

export type TextFormat = "text" | "markdown";

/** The tables and the warnings of a report. width: columns of a terminal, for text */
export function formatReport(data: ReportData, format: TextFormat, width?: number): string {
  const isMarkdown = format === "markdown";
  const table = (content: Table) =>
    isMarkdown ? formatMarkdown(content) : formatTable(content, { width, name: "attention" });
  const matrix = accuracyMatrix(data);
  const parts: (readonly [title: string, body: string])[] = [];
  // A terminal is too narrow for a column a task; the table of all figures says the same there.
  if (isMarkdown && matrix.rows.length > 0)
    parts.push([
      "Accuracy, % [95 % interval] · mean tokens of a response",
      table(matrixTable(matrix, (text) => `**${text}**`)),
    ]);
  if (data.cells.length > 0) parts.push(["All figures", table(cellTable(data.cells))]);
  if (data.comparisons.length > 0)
    parts.push([
      `Beside ${data.baseline}, on the same problems and seeds`,
      table(comparisonTable(data.comparisons)),
    ]);
  if (data.traces.length > 0) parts.push(["Attention in traced steps", table(traceTable(data))]);
  if (data.warnings.length > 0) {
    const lines = data.warnings.map((warning) => `${isMarkdown ? "-" : " "} ${warning}`);
    const rules = isMarkdown ? `\n\n${data.rules.join(" ")}` : "";
    parts.push(["Warnings", lines.join("\n") + rules]);
  }
  return parts.map(([title, body]) => `${isMarkdown ? `## ${title}\n` : title}\n${body}\n`).join("\n");
}
