import { Command, Option } from "commander";
import { ConfigError } from "../../base/errors.ts";
import { collect, decimal, UsageError, wholeNumber } from "../args.ts";
import { withInterrupt } from "../interrupt.ts";
import { ProgressLine } from "../progress.ts";
import { rerunOnDevice } from "../rerun-on-device.ts";
import { addDevice, addModel, addPlace, type ModelOptions } from "./model-options.ts";

type Policy = "less-is-more" | "tidal-decode" | "key-sketch" | "kascade";
type Task = "registers" | "variables" | "graph";

interface CalibrateOptions extends ModelOptions {
  readonly policy: Policy;
  readonly budget?: number;
  readonly text?: string;
  readonly task?: readonly string[];
  readonly problems: number;
  readonly steps: number;
  readonly maxRead?: number;
  readonly tolerance: number;
  readonly minutes?: number;
  readonly seed: number;
  readonly default?: boolean;
  readonly dryRun?: boolean;
  readonly out?: string;
  readonly json?: boolean;
}

const POLICIES: readonly Policy[] = ["less-is-more", "tidal-decode", "key-sketch", "kascade"];
const NOTES = `
Recall of each layer's selection in later layers proposes settings; their divergence from
full attention over forced decode steps decides; no labels are needed. Of settings that
are as near, the one that reads least is taken. It is checked on text that the search has
not seen, and kept: beside the model (sparse-attention.json), or in the cache for models of
the hub and folders that cannot be written. From then on requests that leave its settings
out take them (layers=auto).

Text: prose and the model's own answers to built-in questions, in turn, unless --text or
--task; prose alone for models without a chat template. With --task, settings also solve
held-out problems, and those that lose none to full attention come first.`;

/** `lessismore calibrate`. `done` receives the action's exit code. */
export function calibrateCommand(done: (exitCode: number) => void): Command {
  const command = new Command("calibrate").description(
    "find the settings of a sparse policy for a model by measurement, without labels, and keep them",
  );
  return addDevice(addPlace(addModel(command)))
    .optionsGroup("Search:")
    .addOption(new Option("--policy <name>", "what to calibrate").choices(POLICIES).default("less-is-more"))
    .option(
      "--budget <n>",
      "tokens of a sparse layer (default: 512, or what a quarter of the context holds)",
      wholeNumber(8),
    )
    .option("--text <file>", "plain text to measure on, of 3,000 tokens or better 15,000")
    .option(
      "--task <name>",
      "measure on generated problems: registers, variables, graph; repeatable",
      collect,
    )
    .option("--steps <n>", "decode steps on each text", wholeNumber(16), 64)
    .option(
      "--max-read <share>",
      "take the nearest setting that reads at most this share of the cache, not the cheapest near one",
      share,
    )
    .option(
      "--tolerance <nats>",
      "divergence that does not matter: the cheapest setting below it is taken",
      nats,
      0.002,
    )
    .option("--problems <n>", "problems of each --task and length to solve", wholeNumber(0), 6)
    .option("--minutes <n>", "time for all of it: measures less, and says what it left out", minutes)
    .option("--seed <n>", "of texts and problems", wholeNumber(0), 1)
    .optionsGroup("Output:")
    .option("--default", "also make it the attention of requests that name none")
    .option("--dry-run", "write nothing")
    .option("--out <file>", "where to write, if not beside the model")
    .option("--json", "print one JSON object")
    .addHelpText("after", NOTES)
    .action(async (options: CalibrateOptions) =>
      done((await rerunOnDevice(options.device)) ?? (await calibrate(options))),
    );
}

const share = decimal("a share above 0, at most 1", (value) => value > 0 && value <= 1);
const minutes = decimal("a number above 0", (value) => value > 0);
const nats = decimal("a number of at least 0", (value) => value >= 0);

async function calibrate(options: CalibrateOptions): Promise<number> {
  const { model, policy, budget, text, task = [], problems, steps, maxRead, tolerance, seed, out } = options;
  const { backend, dtype, threads, contextLength, cacheDtype, device } = options;
  const tasks = task.map(readTask);
  const { runCalibrate } = await import("../../../eval/commands/calibrate.ts");
  const progress = new ProgressLine(process.stderr);
  return withInterrupt(async (signal, begin) => {
    try {
      return await runCalibrate(
        {
          ...{ policy, tasks, problems, steps, tolerance, seed },
          maxRead,
          minutes: options.minutes ?? Number.POSITIVE_INFINITY,
          ...{
            isDefault: options.default ?? false,
            isDry: options.dryRun ?? false,
            json: options.json ?? false,
          },
          ...(model !== undefined && { model }),
          ...(budget !== undefined && { tokenBudget: budget }),
          ...(text !== undefined && { textFile: text }),
          ...(out !== undefined && { out }),
          place: {
            ...{ backend, dtype },
            ...(threads !== undefined && { threads }),
            ...(contextLength !== undefined && { contextLength }),
            ...(cacheDtype !== undefined && { cacheDtype }),
            ...(device !== undefined && { device }),
          },
        },
        { stdout: process.stdout, stderr: process.stderr, progress, signal, begin },
      );
    } catch (error) {
      throw error instanceof ConfigError ? new UsageError(error.message) : error;
    } finally {
      progress.erase();
    }
  });
}

function readTask(name: string): Task {
  if (name === "registers" || name === "variables" || name === "graph") return name;
  throw new UsageError(`unknown task "${name}"; known are registers, variables, graph`);
}
