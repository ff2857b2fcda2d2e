/** Settings and provenance: what a reader needs to run the same again. */
import type { RunRecord } from "../attempts/settings-file.ts";
import { type Html, html } from "./html.ts";
import type { ReportData } from "./report-data.ts";

type Json = Readonly<Record<string, unknown>>;

export function settingsSection({ settings, folder }: ReportData): { id: string; title: string; body: Html } {
  const { shared, others } = commonSettings(settings.cells.map((cell) => cell.settings));
  return {
    id: "settings",
    title: "Settings and provenance",
    body: html`<p class="note">From <code>${folder}</code>. What every cell shares is listed once; the hash of all its settings is in each row of attempts.jsonl.</p>
${settingsTable(shared, "Settings of every cell")}
${others.length > 0 ? html`<p class="note">Cells differ in ${others.join(", ")}.</p>` : html``}
${settings.runs.map(describeRun)}`,
  };
}

function describeRun({ startedAt, model, options, facts, notes }: RunRecord, i: number): Html {
  const said = notes.map((note) => html`<p class="note">${note}</p>`);
  return html`<details><summary>Run ${i + 1}, ${startedAt}</summary>${said}${settingsTable({ model, options, facts }, `What run ${i + 1} was given and found`)}</details>`;
}

function settingsTable(settings: Json, caption: string): Html {
  const rows = [...flatten(settings)];
  if (rows.length === 0) return html``;
  const lines = rows.map(
    ([key, value]) => html`<tr><th scope="row">${key}</th><td class="text">${value}</td></tr>\n`,
  );
  return html`<div class="scroll" tabindex="0" role="region" aria-label="${caption}"><table><caption><span>${caption}</span></caption><tbody>${lines}</tbody></table></div>`;
}

/** Values with the path of their keys, "options.seed". */
function* flatten(value: Json, path = ""): Generator<[string, string]> {
  for (const [key, entry] of Object.entries(value)) {
    const name = path === "" ? key : `${path}.${key}`;
    if (isRecord(entry)) yield* flatten(entry, name);
    else if (entry !== undefined) yield [name, typeof entry === "string" ? entry : JSON.stringify(entry)];
  }
}

/** The entries that all have alike, and the names of the others. */
export function commonSettings(all: readonly Json[]): { shared: Json; others: string[] } {
  const flat = all.map((settings) => new Map(flatten(settings)));
  const names = new Set(flat.flatMap((settings) => [...settings.keys()]));
  const shared: Record<string, string> = {};
  const others: string[] = [];
  for (const name of names) {
    const values = new Set(flat.map((settings) => settings.get(name)));
    const [value] = values;
    if (values.size === 1 && value !== undefined) shared[name] = value;
    else others.push(name);
  }
  return { shared, others };
}

function isRecord(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
