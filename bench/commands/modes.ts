/** `decode`, `prefill` and `jitter` send requests to a checkpoint, or to weights of a shape that are made on the GPU. */
import { type Command, Option } from "commander";
import { BACKEND_CHOICES, type BackendChoice } from "../../src/node/index.ts";
import { cacheDtypeOption, dtypeOption, shape, wholeNumber } from "../options.ts";
import { readShape, SHAPE_NAMES, type Shape } from "../webgpu/shapes.ts";
import type { Dtypes } from "../webgpu/step-work.ts";

export interface ModeOptions extends Dtypes {
  readonly backend: BackendChoice;
  readonly model?: string;
  readonly threads?: number;
  readonly shape?: Shape;
  readonly json?: true;
}

const DEFAULT_SHAPE = "llama-3.1-8b";

/** Adds the options that choose between the two modes, and those of one mode only. */
export function addModes(command: Command): Command {
  return command
    .addOption(
      new Option("--backend <name>", "webgpu without --model runs a shape")
        .choices(BACKEND_CHOICES)
        .default("auto"),
    )
    .option("--model <folder>", "requests: a checkpoint (default: the bundled model)")
    .option("--threads <n>", "requests: threads on the CPU, the caller's included", wholeNumber)
    .option(
      "--shape <name|path>",
      `a shape, with weights made on the GPU from a seed: ${SHAPE_NAMES.join(", ")}, or a config.json (default: ${DEFAULT_SHAPE})`,
      shape,
    )
    .addOption(dtypeOption())
    .addOption(cacheDtypeOption())
    .option("--json", "print one JSON object");
}

/** The shape to run; undefined where requests go to a checkpoint. */
export function chosenShape({ backend, model, shape }: ModeOptions): Shape | undefined {
  return shape ?? (backend === "webgpu" && model === undefined ? readShape(DEFAULT_SHAPE) : undefined);
}

/**
 * Ends the program with one message where options exclude each other.
 * ofRequests, ofShapes: names of options of one mode only, besides those of `addModes`.
 */
export function checkModes(
  command: Command,
  options: ModeOptions,
  ofRequests: readonly string[],
  ofShapes: readonly string[],
): void {
  const { backend, model, shape } = options;
  if (shape && model !== undefined)
    command.error("error: --shape makes its weights and --model reads them; give one of the two");
  if (shape && backend !== "webgpu" && backend !== "auto")
    command.error(`error: --shape runs on a GPU; expected --backend webgpu or none, got ${backend}`);
  const isShape = chosenShape(options) !== undefined;
  const others = isShape ? ["threads", ...ofRequests] : ["dtype", "cacheDtype", ...ofShapes];
  const wrong = command.options
    .filter((option) => others.includes(option.attributeName()))
    .filter((option) => command.getOptionValueSource(option.attributeName()) === "cli")
    .map(({ long }) => long);
  if (wrong.length === 0) return;
  command.error(
    isShape
      ? `error: a shape has no ${wrong.join(", ")}; leave it out, or send requests to a --model`
      : `error: requests have no ${wrong.join(", ")}; leave it out, or name a --shape`,
  );
}
