/**
 * `npm run test:gpu`: what the WebGPU backend computes on this machine's GPU, in the sizes that emulation has no time for:
 * prefill on subgroup matrices over many chunks, long contexts, vocabularies of real models, all golden checkpoints. It needs
 * the build and the package `webgpu`, no test runner.
 *
 * `--shard I/N` runs every Nth task from the Ith on, so that N calls run all. `--attention` leaves out all but the self-test and attention,
 * `--quick` takes small sizes. `--out FILE` writes a summary; those of releases lie in bench/results. A run that is interrupted
 * (Ctrl-C, SIGTERM) says what it has found, what it left out, and fails.
 */
import { existsSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { describeRun } from "../../bench/machine.ts";
import type { CacheDtype } from "../../src/backend/backend.ts";
import { ALLOWED_ERROR } from "../../src/backend/backend-kind.ts";
import { reportAdapter } from "../../src/backend/webgpu/adapter-report.ts";
import { SELF_TEST_LAYERS, testCandidate, testLayers } from "../../src/machine/test-candidate.ts";
import { attentionTasks } from "./attention.ts";
import { batchTasks } from "./batches.ts";
import { chunkTasks } from "./chunks.ts";
import { goldenTasks } from "./goldens.ts";
import { type GpuRun, openGpuRun, testedCaches } from "./gpu.ts";
import { testPooling } from "./pooling.ts";
import { productTasks } from "./products.ts";
import { GpuRows, type GpuTask, parseShard, shardOf } from "./rows.ts";
import { testSampling, testSelection } from "./selection.ts";

/** Tasks of the summary that took longest. */
const NUM_SLOWEST = 12;

/** Every op at small shapes, against the reference backend; choices must be the same ones. */
async function testSelf(run: GpuRun, cacheDtype: CacheDtype): Promise<void> {
  const isRounded = cacheDtype === "f32" && run.hasSubgroupMatrices;
  const allowed = ALLOWED_ERROR[isRounded ? "f16" : cacheDtype];
  const candidate = { open: run.openOn(cacheDtype), allowedError: allowed };
  const { rows } = await testLayers((layer) => testCandidate(candidate, layer), SELF_TEST_LAYERS);
  for (const { op, error, allowed: bound } of rows)
    run.rows.add("self-test", `${op}, ${cacheDtype} cache`, { error, bound });
}

/** The repository: dist/test/gpu lies three folders below it. */
function repositoryRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, "package.json"))) folder = dirname(folder);
  return folder;
}

/** Tasks of a whole run. */
function tasksOf(run: GpuRun, root: string, isAttention: boolean): readonly GpuTask[] {
  const self = testedCaches(run).map((cacheDtype) => ({
    name: `self-test, ${cacheDtype}`,
    run: () => testSelf(run, cacheDtype),
  }));
  if (isAttention) return [...self, ...attentionTasks(run)];
  return [
    ...self,
    ...productTasks(run),
    { name: "selection", run: () => testSelection(run) },
    { name: "pooling", run: () => testPooling(run) },
    { name: "sampling", run: () => testSampling(run) },
    ...batchTasks(run, root),
    ...chunkTasks(run, root),
    ...goldenTasks(run, root),
    ...attentionTasks(run),
  ];
}

/** A run, as far as it has come. */
interface Progress {
  readonly run: GpuRun;
  readonly startedAt: number;
  readonly out: string | undefined;
  /** Seconds that each finished task took. */
  readonly seconds: Map<string, number>;
  /** Names of tasks that are not finished, the running one first. */
  readonly left: string[];
}

function summary({ run, startedAt, seconds, left }: Progress): string {
  const { rows, adapter } = run;
  const about = {
    ...describeRun(),
    command: `npm run test:gpu -- ${process.argv.slice(2).join(" ")}`.trim(),
  };
  const counts = { passed: rows.all.length - rows.numFailed, failed: rows.numFailed };
  const content = {
    ...{ run: about, isQuick: run.isQuick, elapsedMs: Math.round(performance.now() - startedAt), counts },
    ...{ adapter: reportAdapter(adapter), seconds: Object.fromEntries(seconds), left },
    ...{ worst: rows.worst, rows: rows.all },
  };
  return `${JSON.stringify(content, null, 1)}\n`;
}

/** Prints and writes what a run has found so far, and sets the exit code: 0 only if all tasks ran and all rows are right. */
function finish(progress: Progress): void {
  const { run, startedAt, out, seconds, left } = progress;
  const { rows } = run;
  if (out !== undefined) writeFileSync(out, summary(progress));
  const slowest = [...seconds].sort(([, a], [, b]) => b - a).slice(0, NUM_SLOWEST);
  const lines = [
    "",
    ...rows.all.filter(({ isRight }) => !isRight).map(({ section, name }) => `FAILED ${section}: ${name}`),
    ...slowest.map(([name, time]) => `${time.toFixed(1).padStart(6)} s  ${name}`),
    ...(left.length > 0 ? [`INTERRUPTED in ${left[0]}; ${left.length} tasks are not finished`] : []),
    `${((performance.now() - startedAt) / 1000).toFixed(0)} s`,
    `${rows.all.length - rows.numFailed} passed, ${rows.numFailed} failed`,
  ];
  process.stdout.write(`${lines.join("\n")}\n`);
  process.exitCode = rows.numFailed > 0 || left.length > 0 ? 1 : 0;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      out: { type: "string" },
      shard: { type: "string", default: "1/1" },
      quick: { type: "boolean" },
      attention: { type: "boolean" },
    },
  });
  const shard = parseShard(values.shard);
  const startedAt = performance.now();
  const rows = new GpuRows((line) => process.stdout.write(`${line}\n`));
  const run = await openGpuRun(rows, values.quick === true);
  const tasks = shardOf(tasksOf(run, repositoryRoot(), values.attention === true), shard);
  const progress: Progress = {
    ...{ run, startedAt, out: values.out, seconds: new Map() },
    left: tasks.map(({ name }) => name),
  };
  for (const signal of ["SIGINT", "SIGTERM"] as const)
    process.once(signal, () => {
      finish(progress);
      process.exit();
    });
  for (const { name, run: work } of tasks) {
    const before = performance.now();
    await work();
    progress.seconds.set(name, (performance.now() - before) / 1000);
    progress.left.shift();
  }
  run.close();
  finish(progress);
}

await main();
