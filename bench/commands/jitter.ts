import { Command } from "commander";
import { openEngine } from "../../src/node/index.ts";
import { deviceOption } from "../device.ts";
import { benchJitter, type JitterOptions, type JitterRow, jitterContext } from "../jitter.ts";
import { judgeJitter } from "../jitter-targets.ts";
import { collect, wholeNumber } from "../options.ts";
import { printJson, printTables } from "../output.ts";
import { timeTokens } from "../token-times.ts";
import { openBenchGpu } from "../webgpu/gpu.ts";
import { benchShapeJitter } from "../webgpu/jitter.ts";
import { addModes, checkModes, chosenShape, type ModeOptions } from "./modes.ts";

interface Options extends ModeOptions {
  readonly context?: number;
  readonly attention?: readonly string[];
  readonly steps: number;
}

const CONTEXT = { requests: 2048, shape: 16384 };

export function jitterCommand(): Command {
  return addModes(new Command("jitter"))
    .description(
      "how evenly tokens come: many decode steps of a request at one context, with the engine's defaults. Milliseconds from token " +
        "to token (mean, median, 99 of 100, largest), bytes allocated a step and where, share of a core. With --shape also the " +
        "host's time to record a step, and targets for an NVIDIA H200",
    )
    .option(
      "--context <n>",
      `cached tokens at the middle step (default: ${CONTEXT.requests}, of a shape ${CONTEXT.shape})`,
      wholeNumber,
    )
    .option("--attention <spec>", "may be given more than once (default: full)", collect)
    .option("--steps <n>", "timed decode steps", wholeNumber, 2000)
    .action(async (options: Options, command: Command) => {
      checkModes(command, options, [], []);
      const { steps, attention = ["full"] } = options;
      const chosen = chosenShape(options);
      const context = options.context ?? (chosen ? CONTEXT.shape : CONTEXT.requests);
      const asked = attention.map((spec): JitterOptions => ({ context, attention: spec, steps }));
      if (chosen) {
        const { dtype, cacheDtype } = options;
        const gpu = await openBenchGpu();
        const rows = await benchShapeJitter(gpu, chosen.config, { rows: asked, dtype, cacheDtype });
        const targets = rows.flatMap((row) => judgeJitter(chosen.name, row));
        print({ gpu: gpu.name, shape: chosen.name, dtype, cacheDtype }, rows, targets, options);
      } else {
        const { backend, rows } = await ofRequests(asked, options);
        print({ backend }, rows, [], options);
      }
    });
}

async function ofRequests(rows: readonly JitterOptions[], { backend, model, threads }: Options) {
  const engine = await openEngine({
    maxConcurrent: 1,
    backend,
    contextLength: Math.max(...rows.map(jitterContext)),
    ...(model !== undefined && { model }),
    ...(threads !== undefined && { threads }),
    ...deviceOption(),
  });
  try {
    const measured: JitterRow[] = [];
    for (const row of rows)
      measured.push(await benchJitter((request, started) => timeTokens(engine, request, started), row));
    return { backend: engine.report().backend.description, rows: measured };
  } finally {
    await engine.close();
  }
}

function print(
  run: Readonly<Record<string, string>>,
  rows: readonly JitterRow[],
  targets: ReturnType<typeof judgeJitter>,
  { json }: Options,
): void {
  if (json) {
    printJson({ ...run, rows, targets });
    return;
  }
  printTables(
    {
      "the run": [run],
      "from token to token (ms), host: to record a step (ms, mean), bytes allocated a step, processor time in cores":
        rows.map(({ context, attention, steps, ms, hostMs, bytesPerStep, coreShare }) => ({
          context,
          attention,
          steps,
          ...ms,
          host: hostMs?.mean,
          bytes: Math.round(bytesPerStep),
          cores: coreShare,
        })),
      "where a step allocates (bytes)": rows.flatMap(({ attention, allocationSites }) =>
        allocationSites.map(({ where, bytes }) => ({ attention, where, bytes: Math.round(bytes) })),
      ),
      ...(targets.length > 0 && { targets: targets.map((row) => ({ ...row })) }),
    },
    false,
  );
}
