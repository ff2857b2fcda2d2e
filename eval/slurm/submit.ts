import { spawn } from "node:child_process";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { ConfigError, ModelFileError } from "../../src/node/index.ts";
import {
  arrayOptions,
  arrayScript,
  type BatchJob,
  mergeOptions,
  mergeScript,
  shardFolder,
} from "./batch-script.ts";

/** Jobs that Slurm has taken. */
export interface SubmittedJobs {
  readonly arrayJob: string;
  readonly mergeJob: string;
  /** Exit code of the merge, if it was waited for. */
  readonly mergeExitCode?: number;
}

/**
 * Submits an array of shards and the merge that waits for them. Their scripts and their ids stay in the folder of the results.
 * @throws ConfigError when there is no sbatch, or it refuses; ModelFileError when the folder cannot be written
 */
export async function submit(
  job: BatchJob,
  { waits, onArray }: { readonly waits: boolean; readonly onArray: (id: string) => void },
): Promise<SubmittedJobs> {
  const scripts = { array: arrayScript(job), merge: mergeScript(job) };
  await prepareFolder(job, scripts);
  const array = await sbatch(arrayOptions(job), scripts.array);
  if (array.exitCode !== 0) throw refusalOf(array);
  const arrayJob = readJobId(array.stdout);
  onArray(arrayJob);
  const options = mergeOptions(job, arrayJob);
  const merge = await sbatch(waits ? [...options, "--wait"] : options, scripts.merge);
  if (merge.stdout.trim() === "") throw refusalOf(merge, arrayJob);
  const mergeJob = readJobId(merge.stdout);
  const jobs = { arrayJob, mergeJob };
  await write(
    join(job.out, "slurm.json"),
    `${JSON.stringify({ ...jobs, arrayTasks: job.slurm.arrayTasks })}\n`,
  );
  return waits ? { ...jobs, mergeExitCode: merge.exitCode } : jobs;
}

async function prepareFolder(
  { out, slurm }: BatchJob,
  scripts: { readonly array: string; readonly merge: string },
): Promise<void> {
  try {
    await mkdir(join(out, "logs"), { recursive: true }); // sbatch does not make the folder of its logs.
    // A task that Slurm never starts leaves a folder without rows, not none.
    for (let shard = 1; shard <= slurm.arrayTasks; shard++)
      await mkdir(shardFolder(out, shard), { recursive: true });
  } catch (cause) {
    throw new ModelFileError(`making the folders of ${out}: ${String(cause)}`, { cause });
  }
  await write(join(out, "logs", "array.sh"), scripts.array);
  await write(join(out, "logs", "merge.sh"), scripts.merge);
}

async function write(path: string, text: string): Promise<void> {
  try {
    await writeFile(path, text);
  } catch (cause) {
    throw new ModelFileError(`writing ${path}: ${String(cause)}`, { cause });
  }
}

interface SbatchResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs sbatch with a script on its standard input. @throws ConfigError when there is no sbatch */
function sbatch(options: readonly string[], script: string): Promise<SbatchResult> {
  return new Promise((resolve, reject) => {
    const child = spawn("sbatch", options, { stdio: ["pipe", "pipe", "pipe"] });
    let [stdout, stderr] = ["", ""];
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      stderr += text;
    });
    child.on("error", (cause: NodeJS.ErrnoException) => {
      const why =
        cause.code === "ENOENT"
          ? "there is no sbatch here; run it on a machine of the cluster"
          : cause.message;
      reject(new ConfigError(`--slurm: ${why}`, { cause }));
    });
    child.on("close", (code) => resolve({ exitCode: code ?? 1, stdout, stderr }));
    child.stdin.on("error", () => {}); // It refused before it read the script; its message follows.
    child.stdin.end(script);
  });
}

function refusalOf({ stderr }: SbatchResult, arrayJob?: string): ConfigError {
  const said = stderr.trim().replace(/\s*\n\s*/g, " ");
  const state =
    arrayJob === undefined
      ? ""
      : `; the array runs as job ${arrayJob}: merge its shards later, or scancel ${arrayJob}`;
  return new ConfigError(`--slurm: sbatch refused: ${said || "it gave no reason"}${state}`);
}

/** Reads what `sbatch --parsable` prints: the id, and a cluster after a semicolon. */
function readJobId(stdout: string): string {
  const [, id] = /^\s*(\d+)(?:;\S*)?/.exec(stdout) ?? [];
  if (id === undefined)
    throw new ConfigError(
      `--slurm: sbatch printed ${JSON.stringify(stdout.slice(0, 100))}; expected the id of a job`,
    );
  return id;
}
