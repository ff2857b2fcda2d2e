import { realpathSync } from "node:fs";
import { resolve } from "node:path";
import { type Command, InvalidArgumentError } from "commander";
import { collect, UsageError, wholeNumber } from "../args.ts";

/** Options of a run on a Slurm cluster, as commander parses them. */
export interface SlurmOptions {
  readonly slurm?: boolean;
  readonly arrayTasks?: number;
  readonly tasksAtOnce?: number;
  readonly partition?: string;
  readonly account?: string;
  readonly time?: string;
  readonly mem?: string;
  readonly cpus?: number;
  readonly gpus?: string;
  readonly sbatchOption?: readonly string[];
  readonly mergeOption?: readonly string[];
  readonly taskSetup?: readonly string[];
  readonly taskProgram?: string;
  readonly dryRun?: boolean;
  readonly wait?: boolean;
}

/** Options that the tasks of the array do not get. */
const NOT_OF_TASKS = [
  ...["--slurm", "--array-tasks", "--tasks-at-once", "--partition", "--account", "--time", "--mem", "--cpus"],
  ...[
    "--gpus",
    "--sbatch-option",
    "--merge-option",
    "--task-setup",
    "--task-program",
    "--dry-run",
    "--wait",
    "--out",
    "--json",
  ],
];

/** Adds --slurm and what goes with it, under a heading. */
export function addSlurm(command: Command): Command {
  return command
    .optionsGroup("On a Slurm cluster, whose nodes share this folder:")
    .option("--slurm", "submit an array job, a shard a task, and a job that merges them; print their ids")
    .option("--array-tasks <n>", "shards (default: 8)", wholeNumber(1))
    .option("--tasks-at-once <n>", "most shards that run at once", wholeNumber(1))
    .option("--partition <name>", "of each task, as are the next five; see sbatch")
    .option("--account <name>", "account that is charged")
    .option(
      "--time <limit>",
      "time limit, such as 4:00:00; a task that meets it goes on when the command runs again",
    )
    .option("--mem <size>", "memory, such as 32G")
    .option("--cpus <n>", "cores", wholeNumber(1))
    .option("--gpus <n>", "GPUs of its node: a number, or a type and a number (h100:1)")
    .option(
      "--sbatch-option <option>",
      "another option of sbatch, as --sbatch-option=--constraint=h100; repeatable",
      sbatchOption,
    )
    .option(
      "--merge-option <option>",
      "the same for the merge alone, as --merge-option=--partition=cpu",
      sbatchOption,
    )
    .option(
      "--task-setup <line>",
      "a line of shell before each task, as 'module load nodejs'; repeatable",
      collect,
    )
    .option(
      "--task-program <words>",
      "what starts lessismore on a node, as 'apptainer exec --nv image.sif lessismore' (default: this Node and script)",
    )
    .option("--wait", "wait for the merge")
    .option("--dry-run", "print the jobs and submit none");
}

function sbatchOption(text: string, previous: readonly string[] = []): readonly string[] {
  if (!/^--?[A-Za-z]/.test(text))
    throw new InvalidArgumentError("Expected an option, such as --constraint=h100.");
  return [...previous, text];
}

/** The job that a command line asks for; undefined without --slurm. @throws UsageError on options that do not fit */
export function slurmJob(
  command: Command,
  options: SlurmOptions & { readonly out?: string; readonly shard?: unknown; readonly json?: boolean },
  args: readonly string[],
) {
  const { slurm, arrayTasks = 8, tasksAtOnce, partition, account, time, mem, cpus, gpus } = options;
  if (slurm !== true) {
    const given = [
      "arrayTasks",
      "tasksAtOnce",
      "partition",
      "account",
      "time",
      "mem",
      "cpus",
      "gpus",
    ] as const;
    const extra = [
      ...given,
      ...(["sbatchOption", "mergeOption", "taskSetup", "taskProgram", "dryRun", "wait"] as const),
    ] as const;
    const found = extra.find((name) => options[name] !== undefined);
    if (found !== undefined) throw new UsageError(`--${dashed(found)} goes with --slurm`);
    return undefined;
  }
  if (options.shard !== undefined)
    throw new UsageError("--shard and --slurm exclude each other: the array has a shard a task");
  if (options.out === undefined)
    throw new UsageError("--slurm: name a folder that all nodes see with --out FOLDER");
  const [, script = ""] = process.argv;
  return {
    slurm: {
      arrayTasks,
      tasksAtOnce,
      partition,
      account,
      time,
      memory: mem,
      cpus,
      gpus,
      sbatchOptions: options.sbatchOption ?? [],
      mergeOptions: options.mergeOption,
      setup: options.taskSetup,
      taskProgram: options.taskProgram,
    },
    name: "lessismore-eval",
    out: resolve(options.out),
    workingFolder: process.cwd(),
    program: [process.execPath, realpathSync(script)],
    evalArguments: argumentsOfTasks(command, args),
    dryRun: options.dryRun ?? false,
    waits: options.wait ?? false,
    json: options.json ?? false,
  };
}

/** The arguments of `eval` that each task gets. A value is never taken for an option. */
export function argumentsOfTasks(command: Command, args: readonly string[]): readonly string[] {
  const kept: string[] = [];
  for (let i = 0; i < args.length; i++) {
    const word = args[i] ?? "";
    const name = word.split("=", 1)[0] ?? "";
    const option = command.options.find(({ long, short }) => long === name || short === name);
    const takesNext = option?.required === true && !word.includes("=");
    const words = takesNext ? args.slice(i, i + 2) : [word];
    if (takesNext) i++;
    if (!NOT_OF_TASKS.includes(option?.long ?? "")) kept.push(...words);
  }
  return kept;
}

function dashed(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}
