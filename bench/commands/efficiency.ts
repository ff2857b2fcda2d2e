import { Command, Option } from "commander";
import { cacheDtypeOption, dtypeOption, shape, wholeNumber, wholeNumbersOption } from "../options.ts";
import { printJson, printTables } from "../output.ts";
import { benchShapeDecode } from "../webgpu/decode.ts";
import { openBenchGpu } from "../webgpu/gpu.ts";
import { measureReadBandwidth } from "../webgpu/plain-read.ts";
import { readShape, SHAPE_NAMES, type Shape } from "../webgpu/shapes.ts";
import type { Dtypes } from "../webgpu/step-work.ts";

interface Options extends Dtypes {
  readonly shape: Shape;
  readonly context: readonly number[];
  readonly budget: readonly number[];
  readonly steps: number;
  readonly rounds: number;
  readonly json?: true;
}

const DEFAULT_SHAPE = "llama-3.1-8b";
const CONTEXTS = [10240, 32768, 102400];
const BUDGETS = [32, 64, 128, 256, 512, 1024, 2048, 4096];

export function efficiencyCommand(): Command {
  return new Command("efficiency")
    .description(
      "the sweep of arXiv 2508.07101 on a GPU: a decode step with less-is-more against full attention, by context and token " +
        "budget, with weights and cache made on the device",
    )
    .addOption(
      new Option("--shape <name|path>", `${SHAPE_NAMES.join(", ")}, or a config.json`)
        .argParser(shape)
        .default(readShape(DEFAULT_SHAPE), DEFAULT_SHAPE),
    )
    .addOption(dtypeOption())
    .addOption(cacheDtypeOption())
    .addOption(wholeNumbersOption("--context <n,...>", "cached tokens", CONTEXTS))
    .addOption(wholeNumbersOption("--budget <n,...>", "token budgets", BUDGETS))
    .option("--steps <n>", "measured steps of a turn", wholeNumber, 10)
    .option("--rounds <n>", "turns of each budget, alternated", wholeNumber, 5)
    .option("--json", "print one JSON object")
    .action(async (options: Options) => {
      const { shape, context, budget, steps, rounds, dtype, cacheDtype } = options;
      const gpu = await openBenchGpu();
      const readBandwidth = await measureReadBandwidth(gpu);
      const budgets = new Map([
        ["full", "full"],
        ...budget.map((tokens) => [`less-is-more:budget=${tokens}`, String(tokens)] as const),
      ]);
      const attention = [...budgets.keys()];
      const measured = await benchShapeDecode(gpu, shape.config, {
        ...{ contexts: context, attention, steps, rounds, dtype, cacheDtype, readBandwidth },
      });
      const rows = measured.map(({ attention, gpuMsByCategory, bytes, ...row }) => {
        const { context, ...rest } = row;
        return { context, budget: budgets.get(attention) ?? attention, ...rest };
      });
      const run = { gpu: gpu.name, shape: shape.name, dtype, cacheDtype, readBandwidth };
      if (options.json) printJson({ ...run, steps, rounds, rows });
      else printTables({ "the run": [run], "decode steps, ms": rows }, false);
    });
}
