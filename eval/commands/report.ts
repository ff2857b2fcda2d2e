/** What `lessismore eval report` does; the command line loads it when it runs. */
import { mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { ConfigError, ModelFileError } from "../../src/node/index.ts";
import { readRun } from "../attempts/read-run.ts";
import { replaceFile } from "../attempts/replace-file.ts";
import {
  type Figure,
  figureSvg,
  formatReport,
  makeFigures,
  makePage,
  makeReportData,
  openPngRenderer,
  type ReportData,
} from "../report/index.ts";
import { readTraces } from "../report/traces.ts";
import type { CommandHost } from "./command-host.ts";

export interface ReportCommand {
  /** Folder of a run. */
  readonly folder: string;
  /** The page; default: report.html in the folder, unless tables are asked for. */
  readonly out?: string;
  /** Folders for a file a figure. */
  readonly svg?: string;
  readonly png?: string;
  /** Tables on standard output. */
  readonly format?: "text" | "markdown" | "json";
  /** The attention that the others are compared with. */
  readonly baseline?: string;
}

/** Writes the report of a run. @throws ConfigError, ModelFileError */
export async function runReport(command: ReportCommand, host: Pick<CommandHost, "stdout">): Promise<void> {
  const { folder, svg, png, format } = command;
  const data = await loadReport(command);
  if (format !== undefined) host.stdout.write(formatted(data, format, host.stdout.columns));
  const out = command.out ?? (format === undefined ? join(folder, "report.html") : undefined);
  if (out === undefined && svg === undefined && png === undefined) return;
  const figures = makeFigures(data);
  const renderer = png === undefined ? undefined : await openPngRenderer();
  const written: string[] = [];
  const write = async (path: string, content: string | Uint8Array) => {
    await writeOut(path, content);
    written.push(path);
  };
  if (out !== undefined) await write(out, makePage(data, figures));
  for (const figure of figures) {
    if (svg !== undefined) await write(join(svg, `${fileName(figure)}.svg`), `${figureSvg(figure)}\n`);
    if (png !== undefined && renderer)
      await write(join(png, `${fileName(figure)}.png`), renderer(figureSvg(figure)));
  }
  if (format === undefined) host.stdout.write(written.map((path) => `${path}\n`).join(""));
}

async function loadReport({ folder, baseline }: ReportCommand): Promise<ReportData> {
  const run = await readRun(folder, { keepResponses: false });
  if (run.attempts.length === 0)
    throw new ConfigError(
      `${folder} has no finished attempt yet; run "lessismore eval --out ${folder}" first`,
    );
  const { traces, notes } = await readTraces(
    folder,
    new Set(run.settings.cells.map(({ settingsHash }) => settingsHash)),
  );
  return makeReportData({
    ...{ folder, settings: run.settings, attempts: run.attempts, traces, notes },
    ...(baseline !== undefined && { baseline }),
  });
}

function formatted(data: ReportData, format: "text" | "markdown" | "json", width?: number): string {
  if (format !== "json") return formatReport(data, format, width);
  const { cells, comparisons, baseline, warnings, traces } = data;
  const plain = <T extends { method: unknown; place: unknown }>({ method: _, place: __, ...row }: T) => row;
  return `${JSON.stringify({ cells: cells.map(plain), baseline, comparisons: comparisons.map(plain), traces: traces.map(({ summary }) => summary), warnings })}\n`;
}

/** A task's name is the user's, so that it may hold anything. */
function fileName({ id }: Figure): string {
  return id.replace(/[^\w.-]+/g, "-");
}

async function writeOut(path: string, content: string | Uint8Array): Promise<void> {
  try {
    await mkdir(dirname(path), { recursive: true });
    await replaceFile(path, [content]);
  } catch (cause) {
    const reason = cause instanceof ModelFileError ? cause.message : `writing ${path}: ${String(cause)}`;
    throw new ConfigError(`${reason}; name a place that can be written`, { cause });
  }
}
