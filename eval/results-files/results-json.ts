/** The contents of `results_*.json`, in the form of lm-evaluation-harness. */
import type { CellRecord, RunRecord } from "../attempts/settings-file.ts";
import type { CellSummary, Estimate } from "../statistics/index.ts";
import { cellAlias, cellName, modelFolder } from "./cell-name.ts";
import type { SampleRow } from "./sample-rows.ts";
import { sha256 } from "./sample-rows.ts";

export interface CellResult {
  readonly cell: CellRecord;
  readonly summary: CellSummary;
  readonly samples: readonly SampleRow[];
}

/** cells: in the order of the table. runs: those that made them, the last one last. */
export function resultsJson(
  cells: readonly CellResult[],
  {
    runs,
    date,
    elapsedSeconds,
  }: { readonly runs: readonly RunRecord[]; readonly date: Date; readonly elapsedSeconds?: number },
): Readonly<Record<string, unknown>> {
  const run = runs.at(-1);
  const model = run?.model ?? "unknown";
  const byName = <T>(value: (result: CellResult) => T) =>
    Object.fromEntries(cells.map((result) => [cellName(result.cell), value(result)]));
  const { identity, seed } = identityOf(cells);
  return {
    results: byName(({ cell, summary, samples }) => ({
      alias: cellAlias(cell),
      ...metricsOf(summary, samples),
      sample_len: summary.problems,
    })),
    // Beside the metrics: readers of this form take every metric for a number.
    intervals95: byName(({ summary }) => intervalsOf(summary)),
    group_subtasks: {},
    configs: byName(({ cell, summary }) => ({
      task: cellName(cell),
      repeats: summary.attemptsPerProblem[1],
      output_type: summary.metric === "correct" ? "generate_until" : "loglikelihood_rolling",
      generation_kwargs: cell.settings.sampling ?? {},
      metadata: { version: versionOf(cell), settingsHash: cell.settingsHash, settings: cell.settings },
    })),
    versions: byName(({ cell }) => versionOf(cell)),
    "n-shot": byName(() => 0),
    higher_is_better: byName(({ summary }) =>
      summary.metric === "correct" ? { exact_match: true } : { loss: false, perplexity: false },
    ),
    "n-samples": byName(({ summary }) => ({ original: summary.problems, effective: summary.problems })),
    config: {
      model: "lessismore",
      model_args: { pretrained: model, ...identity },
      batch_size: run?.options.concurrency ?? "auto",
      batch_sizes: [],
      device: deviceOf(run),
      use_cache: null,
      limit: run?.options.problems ?? null,
      gen_kwargs: cells[0]?.cell.settings.sampling ?? null,
      random_seed: seed,
      numpy_seed: null,
      torch_seed: null,
      fewshot_seed: null,
    },
    git_hash: null,
    date: date.getTime() / 1000,
    lessismore_version: versionsOf(cells),
    machine: run?.facts ?? {},
    runs,
    task_hashes: byName(({ samples }) =>
      sha256(
        samples
          .map(({ doc_hash, prompt_hash, target_hash }) => doc_hash + prompt_hash + target_hash)
          .join(""),
      ),
    ),
    model_source: "lessismore",
    model_name: model,
    model_name_sanitized: modelFolder(model),
    system_instruction: null,
    system_instruction_sha: null,
    fewshot_as_multiturn: null,
    chat_template: null,
    chat_template_sha: identity.chatTemplateSha256 ?? null,
    ...(elapsedSeconds !== undefined && { total_evaluation_time_seconds: String(elapsedSeconds) }),
  };
}

function metricsOf(summary: CellSummary, samples: readonly SampleRow[]): Readonly<Record<string, unknown>> {
  const metrics = Object.fromEntries(
    Object.entries(estimatesOf(summary)).flatMap(([name, estimate]) =>
      estimate === undefined ? [] : [[`${name},none`, estimate.value]],
    ),
  );
  const main = summary.metric === "correct" ? "exact_match" : "loss";
  return { ...metrics, [`${main}_stderr,none`]: standardError(samples, main) };
}

/** The 95 % intervals of the figures that have one. */
function intervalsOf(summary: CellSummary): Readonly<Record<string, unknown>> {
  return Object.fromEntries(
    Object.entries(estimatesOf(summary)).flatMap(([name, estimate]) =>
      estimate?.interval ? [[name, estimate.interval]] : [],
    ),
  );
}

function estimatesOf(summary: CellSummary): Readonly<Record<string, Estimate | undefined>> {
  return {
    exact_match: summary.accuracy,
    loss: summary.loss,
    perplexity: summary.perplexity,
    ...Object.fromEntries(summary.passAt.map(({ k, pass }) => [`pass@${k}`, pass])),
    response_tokens: summary.generationTokens,
    truncated: summary.truncated,
    seconds: summary.secondsPerProblem,
    ms_per_token: summary.msPerToken?.mean,
    attended_fraction: summary.attendedFraction,
  };
}

/** Standard error over problems, as lm-evaluation-harness has it: of one problem there is none. */
function standardError(samples: readonly SampleRow[], metric: string): number | "N/A" {
  const values = samples.map((sample) => Number(sample[metric]));
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return values.length < 2 ? "N/A" : Math.sqrt(squares / (values.length - 1) / values.length);
}

function versionOf({ settings: { task } }: CellRecord): number | string {
  const version = isRecord(task) ? task.version : undefined;
  return typeof version === "number" || typeof version === "string" ? version : "unknown";
}

function identityOf(cells: readonly CellResult[]) {
  const settings = cells[0]?.cell.settings;
  const identity = isRecord(settings?.model) ? settings.model : {};
  return { identity, seed: settings?.seed ?? null };
}

function versionsOf(cells: readonly CellResult[]): unknown {
  const version = cells[0]?.cell.settings.version;
  return Array.isArray(version) ? version[0] : (version ?? null);
}

function deviceOf(run: RunRecord | undefined): unknown {
  const backend = run?.facts.backend;
  return isRecord(backend) ? (backend.description ?? backend.name ?? null) : null;
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
