import { Command, InvalidArgumentError } from "commander";
import { collect, weightsOption, wholeNumber, wholeNumbers } from "../options.ts";
import { printJson, printRows, printTables } from "../output.ts";
import { benchRequests } from "../requests.ts";
import { type BatchedRequest, benchShapeDecode, type ShapeDecodeRow } from "../webgpu/decode.ts";
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
  readonly sequences?: readonly number[];
  readonly mix?: readonly (readonly BatchedRequest[])[];
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
    .option("--sequences <n,...>", "a shape: requests at once (default: 1)", wholeNumbers)
    .option(
      "--mix <requests>",
      'a shape: unlike requests at once, such as "1024 full; 65536 less-is-more:budget=1024"; may be given more than once',
      collectMix,
    )
    .option("--steps <n>", `measured steps of a turn ${both("steps")}`, wholeNumber)
    .option("--rounds <n>", `turns of each attention, alternated ${both("rounds")}`, wholeNumber)
    .action(async (options: Options, command: Command) => {
      checkModes(command, options, [], ["weights", "sequences", "mix"]);
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
  const { weights = [dtype], sequences, mix: mixes } = options;
  const rows: FormatRow[] = [];
  for (const format of weights) {
    const measured = await benchShapeDecode(gpu, config, {
      ...{ contexts: context, attention, steps, rounds, dtype: format, cacheDtype, readBandwidth },
      ...(sequences && { sequences }),
      ...(mixes && { mixes }),
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
    ({ sequences, context, attention }) =>
      sequences === row.sequences && context === row.context && attention === row.attention,
  );
  return { weights, ...row, ...(first && { ofFirst: row.msPerStep / first.msPerStep }) };
}

function categoriesOf({ weights, sequences, context, attention, gpuMsByCategory }: FormatRow) {
  return { weights, sequences, context, attention, ...gpuMsByCategory };
}

/** Reads "CONTEXT ATTENTION; …". */
function collectMix(
  text: string,
  previous: readonly (readonly BatchedRequest[])[] = [],
): readonly (readonly BatchedRequest[])[] {
  const requests = text.split(";").map((part): BatchedRequest => {
    const [, context, attention] = /^\s*(\S+)\s+(\S+)\s*$/.exec(part) ?? [];
    if (context === undefined || attention === undefined)
      throw new InvalidArgumentError('Expected "CONTEXT ATTENTION" of each request, with ; between them.');
    return { context: wholeNumber(context), attention };
  });
  return [...previous, requests];
}
