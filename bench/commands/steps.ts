import { Command, Option } from "commander";
import { RANDOM_CONFIGS, type RandomModel, withRandomCheckpoint } from "../memory/random-checkpoint.ts";
import { collect, wholeNumber, wholeNumbersOption } from "../options.ts";
import { printRows, printTables } from "../output.ts";
import { benchBackends } from "../steps/bench-backends.ts";
import { benchSteps } from "../steps/bench-steps.ts";

interface StepsOptions {
  readonly model?: string;
  readonly shape?: RandomModel;
  readonly context: readonly number[];
  readonly attention?: readonly string[];
  readonly sequences: readonly number[];
  readonly steps: number;
  readonly rounds: number;
  readonly threads?: number;
  readonly cacheDtype: "f32" | "q8";
  readonly json?: true;
}

const ATTENTION = ["full", "less-is-more:budget=256,layers=2+7"];
/** For shapes with the depth of a real model. */
const SHAPE_ATTENTION = ["full", "less-is-more:budget=512,layers=2+18"];

export function stepsCommand(): Command {
  return new Command("steps")
    .description(
      "decode steps and prefill without the engine, beside their floors; the first attention is the yardstick",
    )
    .option("--model <folder>", "a checkpoint; default: the bundled model")
    .addOption(
      new Option(
        "--shape <name>",
        "random bf16 weights in the sizes of a real model, made in a temporary folder",
      )
        .choices(Object.keys(RANDOM_CONFIGS))
        .conflicts("model"),
    )
    .addOption(wholeNumbersOption("--context <n,...>", "cached tokens", [512, 1024, 2048, 4096, 8192]))
    .option("--attention <spec>", "may be given more than once", collect)
    .addOption(wholeNumbersOption("--sequences <n,...>", "sequences of a step, one decode row each", [1]))
    .option("--steps <n>", "measured decode steps of a turn", wholeNumber, 24)
    .option("--rounds <n>", "turns of each attention", wholeNumber, 5)
    .option("--threads <n>", "threads, the caller's included", wholeNumber)
    .addOption(
      new Option("--cache-dtype <dtype>", "of keys and values").choices(["f32", "q8"]).default("f32"),
    )
    .option("--json", "print one JSON object")
    .action(async ({ context, attention, shape, json, ...rest }: StepsOptions) => {
      const options = { ...rest, contexts: context };
      const { steps, prefill } = await (shape === undefined
        ? benchSteps({ ...options, attention: attention ?? ATTENTION })
        : withRandomCheckpoint(shape, (model) =>
            benchSteps({ ...options, model, attention: attention ?? SHAPE_ATTENTION }),
          ));
      const rows = steps.map(({ parts, ...row }) => row);
      const parts = steps.map(({ context, threads, attention, sequences, parts }) => ({
        context,
        threads,
        attention,
        sequences,
        ...parts,
      }));
      printTables({ steps: rows, parts, prefill: prefill.map((row) => ({ ...row })) }, json === true);
    });
}

export function backendsCommand(): Command {
  return new Command("backends")
    .description("a decode step and a prefill on every CPU backend, against the reference backend")
    .option("--model <folder>", "a checkpoint; default: the bundled model")
    .option("--context <n>", "cached tokens", wholeNumber, 256)
    .option("--rounds <n>", "alternated rounds", wholeNumber, 5)
    .option("--json", "print one JSON object")
    .action(
      async ({ json, ...options }: { context: number; rounds: number; model?: string; json?: true }) => {
        printRows(
          await benchBackends(options).then((rows) => rows.map((row) => ({ ...row }))),
          json === true,
        );
      },
    );
}
