import { Argument, Command } from "commander";
import { ConfigError } from "../../base/errors.ts";
import { UsageError } from "../args.ts";
import { loadAttention } from "../attention.ts";
import { withInterrupt } from "../interrupt.ts";
import { ProgressLine } from "../progress.ts";
import { rerunOnDevice } from "../rerun-on-device.ts";
import { endpointOf } from "./endpoint-options.ts";
import { evalAblationsCommand } from "./eval-ablations.ts";
import { evalGradeCommand } from "./eval-grade.ts";
import { addEvalOptions, type EvalOptions } from "./eval-options.ts";
import { evalReportCommand } from "./eval-report.ts";
import { slurmJob } from "./slurm-options.ts";

/** `lessismore eval`. `done` receives the action's exit code. */
export function evalCommand(done: (exitCode: number) => void): Command {
  const command = new Command("eval").description(
    "measure accuracy, generation length and speed of attention policies on tasks",
  );
  return addEvalOptions(command)
    .addCommand(mergeCommand(done))
    .addCommand(gradeCommand(done))
    .addCommand(ablationsCommand(done))
    .addCommand(evalReportCommand(done))
    .action(async (options: EvalOptions, command: Command) => {
      const job = slurmJob(command, options, process.argv.slice(3));
      const run = () => (job === undefined ? evaluate(options) : submit(job));
      done((job === undefined ? await rerunOnDevice(options.device) : undefined) ?? (await run()));
    });
}

function mergeCommand(done: (exitCode: number) => void): Command {
  return new Command("merge")
    .description("join the folders of shards, or of runs with other methods, in one")
    .addArgument(new Argument("<folders...>", "folders of results"))
    .option("--out <folder>", "folder to write; may be one of them")
    .option("--json", "print one JSON object")
    .action(async (folders: readonly string[], _: unknown, command: Command) => {
      const { out, json } = command.optsWithGlobals<EvalOptions>(); // `eval` takes both wherever they stand.
      if (out === undefined) throw new UsageError("name the folder to write: --out FOLDER");
      done(
        await withHost(async (host) => {
          const { runMerge } = await import("../../../eval/commands/merge.ts");
          return runMerge({ folders, out, json: json ?? false }, host);
        }),
      );
    });
}

function gradeCommand(done: (exitCode: number) => void): Command {
  return evalGradeCommand(async (files, { grader, kind, out, json }) => {
    done(
      await withHost(async (host) => {
        const { runGrade } = await import("../../../eval/commands/grade.ts");
        return runGrade({ files, grader, json: json ?? false, ...defined({ kind, out }) }, host);
      }),
    );
  });
}

/** Runs a command of eval with what it needs of this terminal. */
function withHost(work: (host: CommandHost) => Promise<number>): Promise<number> {
  const progress = new ProgressLine(process.stderr);
  return withInterrupt(async (signal, begin) => {
    try {
      return await work({ stdout: process.stdout, stderr: process.stderr, progress, signal, begin });
    } catch (error) {
      throw error instanceof ConfigError ? new UsageError(error.message) : error;
    } finally {
      progress.erase();
    }
  });
}

type CommandHost = Parameters<typeof import("../../../eval/commands/merge.ts").runMerge>[1];

async function submit(job: NonNullable<ReturnType<typeof slurmJob>>): Promise<number> {
  const { runSlurm } = await import("../../../eval/commands/slurm.ts");
  return withHost((host) => runSlurm(job, host));
}

function ablationsCommand(done: (exitCode: number) => void): Command {
  return evalAblationsCommand(async (factors, command) => {
    const options = command.optsWithGlobals<EvalOptions>(); // `eval` takes its options wherever they stand.
    const rerun = await rerunOnDevice(options.device);
    if (rerun !== undefined) return done(rerun);
    const exitCode = await evaluate(options, async (evaluation, host) => {
      const { runAblations } = await import("../../../eval/commands/ablations.ts");
      return runAblations({ ...evaluation, factors }, host);
    });
    done(exitCode);
  });
}

type RunEval = typeof import("../../../eval/commands/eval.ts").runEval;

const runEvaluation: RunEval = async (command, host) => {
  const { runEval } = await import("../../../eval/commands/eval.ts");
  return runEval(command, host);
};

async function evaluate(options: EvalOptions, work: RunEval = runEvaluation): Promise<number> {
  const { tasks = [], data = [], attention: specs = [], length: lengths = [] } = options;
  const { temperature, topP, topK, minP, repetitionPenalty, chatTemplateOption } = options;
  const attentions = await Promise.all(specs.map(loadAttention));
  const { model, problems, attempts, seed, maxTokens, grader, shard, out, json, concurrency } = options;
  const {
    backend,
    dtype,
    threads,
    contextLength,
    cacheDtype,
    device,
    textFile,
    forcedTokens,
    preset,
    estimate,
  } = options;
  return withHost((host) =>
    work(
      {
        ...{ tasks, data, attentions, lengths, seed, grader, backend, dtype, json: json ?? false },
        ...{ estimate: estimate ?? false, ...defined({ preset }) },
        ...defined({ model, problems, attempts, maxTokens, shard, out, concurrency }),
        ...defined({ threads, contextLength, cacheDtype, device, chatTemplateOptions: chatTemplateOption }),
        sampling: defined({ temperature, topP, topK, minP, repetitionPenalty }),
        taskOptions: { seed, ...defined({ textFile, forcedTokens }) },
        given: { ...options },
        ...defined({ endpoint: endpointOf(options), traces: tracesOf(options) }),
      },
      host,
    ),
  );
}

function tracesOf({ traceProblems: problems, traceEvery: every, endpoint }: EvalOptions) {
  if (every !== undefined && problems === undefined)
    throw new UsageError("--trace-every is for --trace-problems N");
  if (problems !== undefined && endpoint !== undefined)
    throw new UsageError(
      "--trace-problems is for a model opened here; a server lends no view of its attention",
    );
  return problems === undefined ? undefined : { problems, ...defined({ every }) };
}

/** Drops undefined entries. */
function defined<T extends object>(values: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}
