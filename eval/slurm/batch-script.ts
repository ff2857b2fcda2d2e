/** The scripts that Slurm runs: an array of shards, and the merge after them. */
import { ConfigError } from "../../src/node/index.ts";

/** What the command line asks of Slurm. */
export interface SlurmOptions {
  /** Shards, each a task of the array. */
  readonly arrayTasks: number;
  /** Tasks that may run at once; all if left out. */
  readonly tasksAtOnce?: number | undefined;
  readonly partition?: string | undefined;
  readonly account?: string | undefined;
  readonly time?: string | undefined;
  readonly memory?: string | undefined;
  readonly cpus?: number | undefined;
  /** A count or a type and a count, as --gpus-per-node takes them. */
  readonly gpus?: string | undefined;
  /** Further options of sbatch, as `--NAME=VALUE` or `--NAME`. */
  readonly sbatchOptions: readonly string[];
  /** Options of sbatch for the merge alone; they come last, so that they replace others. */
  readonly mergeOptions?: readonly string[] | undefined;
  /** Lines of the shell before the program: modules, variables. */
  readonly setup?: readonly string[] | undefined;
  /** Words of the shell that start the command line on a node, in place of `program`: in a container, or of another Node. */
  readonly taskProgram?: string | undefined;
}

export interface BatchJob {
  readonly slurm: SlurmOptions;
  readonly name: string;
  /** The folder of the results; shards go into `shards/` below it, logs into `logs/`. Absolute. */
  readonly out: string;
  /** Working folder of the tasks. Absolute. */
  readonly workingFolder: string;
  /** Program and first arguments that start the command line: Node and its script. */
  readonly program: readonly string[];
  /** Arguments of `eval`, without those of Slurm, --out and --shard. */
  readonly evalArguments: readonly string[];
}

/** Quotes a word for a POSIX shell. @throws ConfigError on a null character, which no argument can have */
export function quoteWord(word: string): string {
  if (word.includes("\0")) throw new ConfigError("submitting to Slurm: an argument has a null character");
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

function quoteAll(words: readonly string[]): string {
  return words.map(quoteWord).join(" ");
}

/**
 * Options of sbatch for the array. They are arguments and not #SBATCH lines, whose quoting differs between versions.
 * A task that Slurm runs again appends to its log.
 */
export function arrayOptions({ slurm, name, out, workingFolder }: BatchJob): readonly string[] {
  const limit = slurm.tasksAtOnce === undefined ? "" : `%${slurm.tasksAtOnce}`;
  return [
    "--parsable",
    `--job-name=${name}`,
    `--array=0-${slurm.arrayTasks - 1}${limit}`,
    "--requeue",
    "--open-mode=append",
    `--output=${escapePattern(out)}/logs/%A_%a.log`,
    `--chdir=${workingFolder}`,
    ...resourceOptions(slurm),
    ...slurm.sbatchOptions,
  ];
}

function resourceOptions({ partition, account, time, memory, cpus, gpus }: SlurmOptions): readonly string[] {
  const options: readonly (readonly [string, string | number | undefined])[] = [
    ["partition", partition],
    ["account", account],
    ["time", time],
    ["mem", memory],
    ["cpus-per-task", cpus],
    ["gpus-per-node", gpus],
  ];
  return options.flatMap(([name, value]) => (value === undefined ? [] : [`--${name}=${value}`]));
}

/** Options that decide whether, and as whom, a cluster takes a job, and so hold for the merge too. */
const OF_EVERY_JOB =
  /^--(?:qos|reservation|clusters|cluster|export|mail-user|mail-type|wckey|comment)(?:=|$)|^-[qM]/;

/** Options of sbatch for the merge: one core, after every task ended, whatever its outcome. */
export function mergeOptions(
  { slurm, name, out, workingFolder }: BatchJob,
  arrayJob: string,
): readonly string[] {
  const { partition, account, time, sbatchOptions, mergeOptions: own = [] } = slurm;
  return [
    "--parsable",
    `--job-name=${name}-merge`,
    `--dependency=afterany:${arrayJob}`,
    "--requeue",
    "--open-mode=append",
    `--output=${escapePattern(out)}/logs/merge_%j.log`,
    `--chdir=${workingFolder}`,
    "--cpus-per-task=1",
    ...(partition === undefined ? [] : [`--partition=${partition}`]),
    ...(account === undefined ? [] : [`--account=${account}`]),
    ...(time === undefined ? [] : [`--time=${time}`]), // Some partitions take no job without one.
    ...sbatchOptions.filter((option) => OF_EVERY_JOB.test(option)),
    ...own,
  ];
}

/** A percent sign begins a pattern in names of logs. */
function escapePattern(path: string): string {
  return path.replaceAll("%", "%%");
}

/** The folder of a shard's results, by its number from 1. */
export function shardFolder(out: string, shard: number | string): string {
  return `${out}/shards/${shard}`;
}

/** The shell's own checks of unset variables begin behind the setup, whose functions (modules) may read such. */
function head({ setup = [] }: SlurmOptions): readonly string[] {
  return ["#!/bin/bash", "set -e", ...setup, "set -u"];
}

function start({ taskProgram }: SlurmOptions, program: readonly string[]): string {
  return taskProgram ?? quoteAll(program);
}

/**
 * The script of a task. `exec` lets Slurm's signals reach the evaluation itself; its finished attempts are on the disk, and
 * the same command goes on from them.
 */
export function arrayScript({ slurm, out, program, evalArguments }: BatchJob): string {
  const shards = quoteWord(`${out}/shards`);
  return [
    ...head(slurm),
    "shard=$((SLURM_ARRAY_TASK_ID + 1))",
    `echo "lessismore: shard $shard of ${slurm.arrayTasks} on $(hostname), restart \${SLURM_RESTART_COUNT:-0}" >&2`,
    `exec ${start(slurm, program)} ${quoteAll(["eval", ...evalArguments])} \\`,
    `  --shard "$shard/${slurm.arrayTasks}" --out ${shards}/"$shard"`,
    "",
  ].join("\n");
}

/** The script of the merge. */
export function mergeScript({ slurm, out, program }: BatchJob): string {
  const folders = Array.from({ length: slurm.arrayTasks }, (_, i) => shardFolder(out, i + 1));
  return [
    ...head(slurm),
    `exec ${start(slurm, program)} ${quoteAll(["eval", "merge", ...folders, "--out", out])}`,
    "",
  ].join("\n");
}
