import { Command } from "commander";
import { type EngineComponents, openEngineInWorker, openEngineWithHooks } from "../../src/node/internal.ts";
import { BareStepper } from "../bare-stepper.ts";
import {
  benchConcurrent,
  type ConcurrentOptions,
  type ConcurrentRow,
  contextOfStreams,
} from "../concurrent.ts";
import { deviceOption } from "../device.ts";
import { collect, wholeNumber, wholeNumbers, wholeNumbersOption } from "../options.ts";
import { printTables } from "../output.ts";
import { judge, TARGETS } from "../targets.ts";
import { benchShapeConcurrent } from "../webgpu/concurrent.ts";
import { openBenchGpu } from "../webgpu/gpu.ts";
import { addModes, checkModes, chosenShape, type ModeOptions } from "./modes.ts";

interface Options extends ModeOptions {
  readonly concurrent: readonly number[];
  readonly context?: readonly number[];
  readonly attention?: readonly string[];
  readonly steps: number;
  readonly rounds: number;
  readonly newcomers?: number;
  readonly observe?: number;
  readonly worker?: true;
}

const CONTEXT = { requests: 512, shape: 8192 };
const SPARSE = { requests: "less-is-more:budget=256", shape: "less-is-more:budget=1024" };
const SHARE_OF_TARGET = 32;

export function requestsCommand(): Command {
  return addModes(new Command("requests"))
    .description(
      "tokens a second of requests that stream at once (top-p sampling, stop texts, a loop for each) beside bare steps of as many " +
        "sequences, on one engine, in turn; and the time from a token to the next",
    )
    .addOption(wholeNumbersOption("--concurrent <n,...>", "requests at once", [8, 32]))
    .option(
      "--context <n,...>",
      `cached tokens of each at the middle step (default: ${CONTEXT.requests}, of a shape ${CONTEXT.shape})`,
      wholeNumbers,
    )
    .option(
      "--attention <spec>",
      `may be given more than once (default: full and ${SPARSE.requests}, of a shape ${SPARSE.shape})`,
      collect,
    )
    .option("--steps <n>", "timed steps of a turn", wholeNumber, 64)
    .option("--rounds <n>", "turns of each, alternated", wholeNumber, 3)
    .option(
      "--newcomers <tokens>",
      "also with a request of that many prompt tokens beside the streams every second",
      wholeNumber,
    )
    .option("--observe <n>", "with an observer of every n-th step of each request", wholeNumber)
    .option(
      "--worker",
      "requests: to an engine on a thread of its own (lessismore/worker); bare steps to another of the same model",
    )
    .action(async (options: Options, command: Command) => {
      checkModes(command, options, ["worker"], []);
      const chosen = chosenShape(options);
      const say = (what: string) => process.stderr.write(`${what} …\n`);
      const kind = chosen ? "shape" : "requests";
      const { concurrent: sequences, steps, rounds, newcomers: newcomerTokens, observe } = options;
      const asked: ConcurrentOptions = {
        ...{ sequences, steps, rounds, newcomerTokens },
        contexts: options.context ?? [CONTEXT[kind]],
        attention: options.attention ?? ["full", SPARSE[kind]],
        ...(observe !== undefined && {
          observer: { every: observe, wants: ["selection" as const], onStep: () => {} },
        }),
      };
      if (chosen) {
        const gpu = await openBenchGpu();
        const { dtype, cacheDtype } = options;
        const rows = await benchShapeConcurrent(gpu, chosen.config, { ...asked, dtype, cacheDtype }, say);
        print({ gpu: gpu.name, shape: chosen.name, dtype, cacheDtype }, rows, options);
      } else {
        const { backend, rows } = await ofModel(asked, options, say);
        print({ backend, worker: options.worker === true ? "yes" : "no" }, rows, options);
      }
    });
}

async function ofModel(
  asked: ConcurrentOptions,
  { backend, model, threads, worker }: Options,
  say: (what: string) => void,
): Promise<{ readonly backend: string; readonly rows: readonly ConcurrentRow[] }> {
  let components: EngineComponents | undefined;
  const options = {
    ...{
      maxConcurrent: Math.max(...asked.sequences) + (asked.newcomerTokens === undefined ? 0 : 1),
      backend,
    },
    contextLength: contextOfStreams(asked),
    ...(model !== undefined && { model }),
    ...(threads !== undefined && { threads }),
    ...deviceOption(),
  };
  const engine = await openEngineWithHooks(options, {
    onComponents: (made) => {
      components = made;
    },
  });
  const remote = worker ? await openEngineInWorker(options) : undefined;
  try {
    if (!components) throw new TypeError("an engine opened without components");
    const stepper = new BareStepper(components);
    const rows = await benchConcurrent({ engine: remote ?? engine, stepper }, asked, say);
    return { backend: engine.report().backend.description, rows };
  } finally {
    await remote?.close();
    await engine.close();
  }
}

function print(
  run: Readonly<Record<string, string>>,
  rows: readonly ConcurrentRow[],
  { json }: Options,
): void {
  printTables(
    {
      "the run": [run],
      "requests beside bare steps: tokens a second, and from a token of a stream to its next (ms)": rows.map(
        (row) => ({ ...row, ...(row.sequences === SHARE_OF_TARGET && judge(TARGETS.requests, row.ofBare)) }),
      ),
    },
    json === true,
  );
}
