import { Command } from "commander";
import { collect, weightsOption, wholeNumber, wholeNumbers } from "../options.ts";
import { printJson, printRows, printTables } from "../output.ts";
import { benchRequests } from "../requests.ts";
import { benchShapeDecode, type ShapeDecodeRow } from "../webgpu/decode.ts";
import { openBenchGpu } from "../webgpu/gpu.ts";
import { measureReadBandwidth } from "../webgpu/plain-read.ts";
import type { Shape } from "../webgpu/shapes.ts";
import type { WeightMix } from "../webgpu/weight-mix.ts";
import { addModes, checkModes, chosenShape, type ModeOptions } from "./modes.ts";

interface Options extends ModeOptions {
  readonly context?: readonly number[];
  readonly attention?: readonly string[];
  readonly steps?: number;
  readonly rounds?: number;
  readonly weights?: readonly WeightMix[];
}

const REQUESTS = {
  context: [1024, 2048, 4096, 8128],
  attention: ["full", "less-is-more:budget=256,layers=2+7"],
  steps: 64,
  rounds: 3,
};
const STEPS = {
  context: [16384, 32768, 65536, 131072],
  attention: ["full", "less-is-more:budget=2048"],
  steps: 10,
  rounds: 7,
};

export function decodeCommand(): Command {
  const both = (name: "steps" | "rounds") => `(default: ${REQUESTS[name]}, of a shape ${STEPS[name]})`;
  return addModes(new Command("decode"))
    .description(
      "milliseconds from token to token of requests, by context and attention. Without a shape they go to a model, and the first " +
        "attention is the yardstick. With --shape, or --backend webgpu alone, to an engine on a GPU with weights and cache made " +
        "there, beside the time that a plain read of a step's bytes takes in the same run",
    )
    .option("--context <n,...>", "cached tokens", wholeNumbers)
    .option(
      "--attention <spec>",
      "a policy, or its file for requests to a model (./my-policy.mjs); may be given more than once",
      collect,
    )
    .addOption(weightsOption())
    .option("--steps <n>", `measured steps of a turn ${both("steps")}`, wholeNumber)
    .option("--rounds <n>", `turns of each attention, alternated ${both("rounds")}`, wholeNumber)
    .action(async (options: Options, command: Command) => {
      checkModes(command, options, [], ["weights"]);
      const chosen = chosenShape(options);
      if (chosen) await benchShape(chosen, options);
      else await sendRequests(options);
    });
}

async function sendRequests({ backend, model, threads, json, ...given }: Options): Promise<void> {
  const { context, attention, steps, rounds } = { ...REQUESTS, ...given };
  const { rows } = await benchRequests({
    ...{ contexts: context, attention, steps, rounds, backend },
    ...(model !== undefined && { model }),
    ...(threads !== undefined && { threads }),
  });
  printRows(
    rows.map((row) => ({ ...row })),
    json === true,
  );
}

async function benchShape({ name, config }: Shape, options: Options): Promise<void> {
  const { context, attention, steps, rounds, dtype, cacheDtype } = { ...STEPS, ...options };
  const gpu = await openBenchGpu();
  const readBandwidth = await measureReadBandwidth(gpu);
  const { weights = [dtype] } = options;
  const rows: FormatRow[] = [];
  for (const format of weights) {
    const measured = await benchShapeDecode(gpu, config, {
      ...{ contexts: context, attention, steps, rounds, dtype: format, cacheDtype, readBandwidth },
    });
    rows.push(...measured.map((row) => withFormat(row, format, rows)));
  }
  const run = { gpu: gpu.name, shape: name, weights: weights.join(","), cacheDtype, readBandwidth };
  if (options.json) printJson({ ...run, steps, rounds, rows });
  else
    printTables(
      {
        "the run": [run],
        "decode steps (ms): median (msPerStep), mean, p99 and least over all; host: to record and submit; GPU: a step by itself":
          rows.map(({ gpuMsByCategory, ...row }) => row),
        "GPU ms by category: each dispatch between two timestamps of its own, so that together they take longer than a step":
          rows.map(categoriesOf),
      },
      false,
    );
}

interface FormatRow extends ShapeDecodeRow {
  readonly weights: WeightMix;
  /** Over the same step with the first of several formats. */
  readonly ofFirst?: number;
}

/** others: the rows of formats before. */
function withFormat(row: ShapeDecodeRow, weights: WeightMix, others: readonly FormatRow[]): FormatRow {
  const first = others.find(
    ({ context, attention }) => context === row.context && attention === row.attention,
  );
  return { weights, ...row, ...(first && { ofFirst: row.msPerStep / first.msPerStep }) };
}

function categoriesOf({ weights, context, attention, gpuMsByCategory }: FormatRow) {
  return { weights, context, attention, ...gpuMsByCategory };
}
