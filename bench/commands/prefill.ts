import { Command } from "commander";
import { collect, wholeNumber, wholeNumbers } from "../options.ts";
import { printJson, printRows, printTables } from "../output.ts";
import { benchRequests } from "../requests.ts";
import { openBenchGpu } from "../webgpu/gpu.ts";
import { benchShapePrefill } from "../webgpu/prefill.ts";
import type { Shape } from "../webgpu/shapes.ts";
import { addModes, checkModes, chosenShape, type ModeOptions } from "./modes.ts";

interface Options extends ModeOptions {
  readonly context?: readonly number[];
  readonly attention?: readonly string[];
  readonly steps?: number;
  readonly rounds?: number;
  readonly chunkRows?: number;
  readonly subgroupMatrices: boolean;
}

const REQUESTS = { context: [1024, 2048, 4096, 8128], attention: ["full"], steps: 64, rounds: 3 };
const STEPS = { context: [4096], rounds: 5 };

export function prefillCommand(): Command {
  return addModes(new Command("prefill"))
    .description(
      "prefill as requests get it. Without a shape: against decode, in tokens a second, of requests to a model. With --shape, or --backend " +
        "webgpu alone: tokens a second and TFLOP/s of prompts on a GPU with weights made there",
    )
    .option("--context <n,...>", "tokens of the prompt", wholeNumbers)
    .option("--attention <spec>", "requests: of the decode steps; may be given more than once", collect)
    .option("--steps <n>", `requests: decode steps a round (default: ${REQUESTS.steps})`, wholeNumber)
    .option("--rounds <n>", `(default: ${REQUESTS.rounds}, of a shape ${STEPS.rounds})`, wholeNumber)
    .option(
      "--chunk-rows <n>",
      "a shape: rows of the largest chunk (default: what the backend proposes)",
      wholeNumber,
    )
    .option("--no-subgroup-matrices", "a shape: as on a GPU without subgroup matrices")
    .action(async (options: Options, command: Command) => {
      checkModes(command, options, ["attention", "steps"], ["chunkRows", "subgroupMatrices"]);
      const chosen = chosenShape(options);
      if (chosen) await benchShape(chosen, options);
      else await sendRequests(options);
    });
}

async function sendRequests({ backend, model, threads, json, ...given }: Options): Promise<void> {
  const { context, attention, steps, rounds } = { ...REQUESTS, ...given };
  const { prefill } = await benchRequests({
    ...{ contexts: context, attention, steps, rounds, backend },
    ...(model !== undefined && { model }),
    ...(threads !== undefined && { threads }),
  });
  printRows(
    prefill.map((row) => ({ ...row })),
    json === true,
  );
}

async function benchShape({ name, config }: Shape, options: Options): Promise<void> {
  const {
    context: tokens,
    chunkRows,
    rounds,
    subgroupMatrices,
    dtype,
    cacheDtype,
  } = { ...STEPS, ...options };
  const gpu = await openBenchGpu();
  const rows = await benchShapePrefill(gpu, config, {
    ...{ tokens, rounds, subgroupMatrices, dtype, cacheDtype },
    ...(chunkRows !== undefined && { chunkRows }),
  });
  const run = { gpu: gpu.name, shape: name, dtype, cacheDtype };
  if (options.json) printJson({ ...run, rows });
  else printTables({ "the run": [run], prefill: rows.map((row) => ({ ...row })) }, false);
}
