/** Reports of a run: a page, figures, and tables as text. */
import { accuracyByBudget, lossByBudget } from "./figures/by-budget.ts";
import { accuracyByReads, accuracyByTime } from "./figures/by-cost.ts";
import type { Figure } from "./figures/figure.ts";
import { needleMaps } from "./figures/needle-map.ts";
import { traceFigures } from "./figures/trace-figures.ts";
import type { ReportData } from "./report-data.ts";

export { figureSvg } from "./export.ts";
export type { Figure } from "./figures/figure.ts";
export { makePage } from "./page.ts";
export { openPngRenderer } from "./png.ts";
export { makeReportData, type ReportData } from "./report-data.ts";
export { formatReport } from "./text.ts";

/** The figures that a run has data for. */
export function makeFigures(data: ReportData): Figure[] {
  const optional = [accuracyByBudget(data), accuracyByTime(data), accuracyByReads(data), lossByBudget(data)];
  return [...optional.filter((figure) => figure !== undefined), ...needleMaps(data), ...traceFigures(data)];
}
