import { Command } from "commander";
import { benchHost, type HostBenchOptions, type HostRow } from "../host/bench-host.ts";
import { openNullGpu } from "../host/null-gpu.ts";
import { collect, shape, wholeNumber, wholeNumbersOption } from "../options.ts";
import { printJson, printTables } from "../output.ts";
import { readShape, SHAPE_NAMES, type Shape } from "../webgpu/shapes.ts";

interface Options {
  readonly shape?: Shape;
  readonly sequences: readonly number[];
  readonly attention?: readonly string[];
  readonly context: number;
  readonly steps: number;
  readonly rounds: number;
  readonly observe?: number;
  readonly worker?: true;
  readonly json?: true;
}

const DEFAULT_SHAPE = "llama-3.1-8b";
const ATTENTION = ["full", "less-is-more:budget=1024"];

export function hostCommand(): Command {
  return new Command("host")
    .description(
      "microseconds that the JavaScript thread works for a step of streaming requests, by subject: on Dawn's null device, which " +
        "takes commands and runs none, so that any machine tells. The device has the minimum limits of WebGPU, and its kernels are " +
        "more than those of a large GPU",
    )
    .option(
      "--shape <name|path>",
      `layers and heads: ${SHAPE_NAMES.join(", ")} (default: ${DEFAULT_SHAPE})`,
      shape,
    )
    .addOption(wholeNumbersOption("--sequences <n,...>", "streams at once", [1, 8, 32]))
    .option(
      "--attention <spec>",
      `may be given more than once (default: ${ATTENTION.join(" and ")})`,
      collect,
    )
    .option("--context <n>", "tokens of each prompt", wholeNumber, 1200)
    .option("--steps <n>", "timed steps of a turn", wholeNumber, 300)
    .option("--rounds <n>", "turns", wholeNumber, 5)
    .option("--observe <n>", "with an observer of every n-th step of each request", wholeNumber)
    .option("--worker", "through the messages of lessismore/worker, both ends on this thread")
    .option("--json", "print one JSON object")
    .action(async (options: Options) => {
      const { shape: { name, config } = readShape(DEFAULT_SHAPE), observe, json, worker, ...given } = options;
      const asked: HostBenchOptions = {
        ...{ ...given, attention: options.attention ?? ATTENTION, isWorker: worker === true },
        ...(observe !== undefined && {
          observer: { every: observe, wants: ["selection"], onStep: () => {} },
        }),
      };
      const rows = await benchHost(await openNullGpu(), config, asked);
      const run = {
        shape: name,
        context: options.context,
        worker: worker ? "yes" : "no",
        observed: observe ?? "no",
      };
      if (json) printJson({ ...run, rows });
      else print(run, rows);
    });
}

function print(run: Readonly<Record<string, string | number>>, rows: readonly HostRow[]): void {
  printTables(
    {
      "the run": [run],
      "host time a step (µs): from a step's tokens to the next step's beginning (given out), to record and submit it":
        rows.map(({ bySubject, ...row }) => row),
      "by subject (µs a step)": rows.map(({ sequences, attention, bySubject }) => ({
        sequences,
        attention,
        ...bySubject,
      })),
    },
    false,
  );
}
