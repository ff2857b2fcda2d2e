/** The report as one HTML page: no script, no request, one style sheet that the page's own policy names by hash. */
import { createHash } from "node:crypto";
import { type Figure, legendMark, type Panel } from "./figures/figure.ts";
import { type Html, html, raw } from "./html.ts";
import type { ReportComparison, ReportData } from "./report-data.ts";
import { settingsSection } from "./settings-section.ts";
import { STYLE } from "./style.ts";
import { budgetName, percentEstimate, type Table, tokens } from "./table.ts";
import { accuracyMatrix, cellTable, comparisonTable, type Matrix, type MatrixCell } from "./tables.ts";
import { traceTable } from "./trace-table.ts";

interface Section {
  readonly id: string;
  readonly title: string;
  readonly body: Html;
}

/** Makes the page of a report and its figures. */
export function makePage(data: ReportData, figures: readonly Figure[]): string {
  const sections = sectionsOf(data, figures);
  const styleHash = createHash("sha256").update(STYLE).digest("base64");
  const policy = `default-src 'none'; style-src 'sha256-${styleHash}'; base-uri 'none'; form-action 'none'`;
  const title = `Sparse attention on ${modelOf(data)}`;
  const page = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${title}</title>
<style>${raw(STYLE)}</style>
</head>
<body>
<header>
<h1>${title}</h1>
${lead(data)}
</header>
<nav aria-label="Sections"><ul>${sections.map(({ id, title: name }) => html`<li><a href="#${id}">${name}</a></li>`)}</ul></nav>
<main>
${sections.map(({ id, title: name, body }) => html`<section id="${id}" aria-labelledby="${id}-title"><h2 id="${id}-title">${name}</h2>${body}</section>\n`)}
</main>
<footer>Made by <code>lessismore eval report</code></footer>
</body>
</html>
`;
  return page.text;
}

function modelOf({ settings }: ReportData): string {
  return [...new Set(settings.runs.map(({ model }) => model))].join(", ") || "an unnamed model";
}

function lead({ attempts, cells, places, methods, warnings }: ReportData): Html {
  const problems = cells.reduce((most, cell) => Math.max(most, cell.problems), 0);
  const said =
    `${count(attempts.length, "attempt")} under ${count(methods.length, "setting")} of attention at ` +
    `${count(places.length, "task and length", "tasks and lengths")}, up to ${count(problems, "problem")} each. ` +
    "Brackets and bars are 95 % intervals over problems.";
  const warned =
    warnings.length === 0
      ? html``
      : html`<p><a href="#warnings" class="flag">${count(warnings.length, "warning")}</a> on what these figures cannot say.</p>`;
  return html`<p class="lead">${said}</p>${warned}`;
}

function sectionsOf(data: ReportData, figures: readonly Figure[]): Section[] {
  const matrix = accuracyMatrix(data);
  const [first = [], second = []] = [
    figures.filter(({ id }) => id.startsWith("accuracy")),
    figures.filter(({ id }) => !id.startsWith("accuracy")),
  ];
  const sections: Section[] = [
    ...first.map(figureSection),
    ...(matrix.rows.length > 0 ? [matrixSection(matrix)] : []),
    ...(data.comparisons.length > 0 ? [comparisonSection(data)] : []),
    ...second.map(figureSection),
  ];
  if (data.cells.length > 0)
    sections.push({
      id: "cells",
      title: "All figures",
      body: tableOf(
        cellTable(data.cells),
        "One row a task, length and attention; p99 and median are over attempts.",
      ),
    });
  if (data.traces.length > 0) sections.push(traceSection(data));
  return [...sections, warningSection(data), settingsSection(data)];
}

function traceSection(data: ReportData): Section {
  return {
    id: "traces",
    title: "Attention in traced steps",
    body: tableOf(
      traceTable(data),
      "Means over sampled decode steps, layers and heads. Recall: full attention's weight on the selected tokens. Error: relative L2 of the " +
        "output beside full attention's. Alike: Jaccard index of selections, of different heads or layers, or of one layer in neighbouring samples.",
    ),
  };
}

function figureSection({ id, title, caption, panels, legend, panelWidth }: Figure): Section {
  const entries = legend.map(
    (series) => html`<li>${raw(legendMark(series))}<span>${series.label}</span></li>`,
  );
  const key = entries.length === 0 ? html`` : html`<ul class="legend" aria-label="Legend">${entries}</ul>`;
  const kind = panelWidth < 350 ? "panels narrow" : "panels";
  return {
    ...{ id, title },
    body: html`<figure><figcaption>${caption}</figcaption>${key}<div class="${kind}">${panels.map(panelOf)}</div></figure>`,
  };
}

function panelOf({ title, svg }: Panel): Html {
  return html`<div class="panel"><h3>${title}</h3>${raw(svg)}</div>`;
}

function matrixSection({ places, rows }: Matrix): Section {
  const caption =
    "Accuracy in percent with its interval; below, mean tokens of a response and the share cut at the limit. The best sparse method of a " +
    "column is bold, whatever its distance to the next: the comparisons below say whether a distance is one.";
  const body = rows.map(({ label, budget, attention, role, cells }, i) => {
    const isFirst = i > 0 && rows[i - 1]?.label !== label;
    const name = html`<th scope="row" title="${attention}">${label}${budget === undefined ? "" : html` <small>budget ${budgetName(budget)}</small>`}</th>`;
    return html`<tr class="${isFirst ? "rule" : ""} ${role}">${name}${cells.map(matrixCell)}</tr>\n`;
  });
  return {
    id: "accuracy-table",
    title: "Accuracy and generation length",
    body: scrolled(
      html`<table><caption><span>${caption}</span></caption><thead><tr><th scope="col">method</th>${places.map(({ title }) => html`<th scope="col">${title}</th>`)}</tr></thead><tbody>${body}</tbody></table>`,
      "Accuracy and generation length",
    ),
  };
}

function matrixCell(cell: MatrixCell | undefined): Html {
  if (cell === undefined) return html`<td>–</td>`;
  const { accuracy, length, truncated, isBest } = cell;
  const value = (100 * accuracy.value).toFixed(1);
  const [, interval = ""] = / (\[.*)$/.exec(percentEstimate(accuracy)) ?? [];
  const cut = truncated > 0 ? `, ${(100 * truncated).toFixed(0)} % cut` : "";
  const below = length === undefined ? html`` : html`<small>${tokens(length.value)} tokens${cut}</small>`;
  return html`<td>${isBest ? html`<b>${value}</b>` : value} <small>${interval}</small>${below}</td>`;
}

function comparisonSection({ comparisons, baseline, places }: ReportData): Section {
  const groups = places.flatMap((place) => {
    const members = comparisons.filter((comparison) => comparison.place === place);
    return members.length === 0 ? [] : [{ place, members }];
  });
  return {
    id: "comparisons",
    title: `Beside ${baseline}`,
    body: html`<p class="note">Each method minus ${baseline} on the same problems and seeds, with paired intervals. p is of the exact sign test over
problems (McNemar's for single attempts) and is not corrected for the number of comparisons. "Faster" compares length × time a token.</p>
${groups.map(({ place, members }, i) => html`<details${raw(i === 0 ? " open" : "")}><summary>${place.title}</summary>${comparisonsOf(members)}</details>`)}`,
  };
}

function comparisonsOf(members: readonly ReportComparison[]): Html {
  const { header, rows } = comparisonTable(members);
  const kept = header.map((name) => name !== "task" && name !== "length");
  const keep = (row: readonly string[]) => row.filter((_, i) => kept[i]);
  return tableOf({ header: keep(header), rows: rows.map(keep) }, `${members.length} comparisons`);
}

/** A table whose first column names its rows. */
function tableOf({ header, rows }: Table, caption: string): Html {
  const names = header.map((name) => html`<th scope="col">${name}</th>`);
  const lines = rows.map(([first = "", ...rest]) => {
    const cells = rest.map((text) =>
      text === "undecided" ? html`<td class="flag">${text}</td>` : html`<td>${text}</td>`,
    );
    return html`<tr><th scope="row">${breakable(first)}</th>${cells}</tr>\n`;
  });
  return scrolled(
    html`<table><caption><span>${caption}</span></caption><thead><tr>${names}</tr></thead><tbody>${lines}</tbody></table>`,
    caption,
  );
}

/** Lets the settings of a policy wrap behind their commas. */
function breakable(text: string): Html {
  const [first = "", ...rest] = text.split(/(?<=[,:])/);
  return html`${first}${rest.map((part) => html`<wbr>${part}`)}`;
}

/** Wide tables scroll by themselves, with the keyboard too. */
function scrolled(table: Html, label: string): Html {
  return html`<div class="scroll" tabindex="0" role="region" aria-label="${label}">${table}</div>`;
}

function warningSection({ warnings, rules }: ReportData): Section {
  const list =
    warnings.length === 0
      ? html`<p>None.</p>`
      : html`<details${raw(warnings.length <= 12 ? " open" : "")}><summary>${count(warnings.length, "warning")}</summary><ul class="warnings">${warnings.map((warning) => html`<li>${warning}</li>`)}</ul></details>`;
  return {
    id: "warnings",
    title: "Warnings",
    body: html`<p class="note">${rules.join(" ")}</p>${list}`,
  };
}

function count(number: number, one: string, many = `${one}s`): string {
  return `${number} ${number === 1 ? one : many}`;
}
