/** Options of the commands that open a model. */
import { type Command, Option } from "commander";
import {
  BACKEND_CHOICES,
  type BackendChoice,
  CACHE_DTYPES,
  type CacheDtype,
  DTYPE_CHOICES,
  type DtypeChoice,
} from "../../node/index.ts";
import { decimal, wholeNumber } from "../args.ts";

export interface ModelOptions {
  readonly model?: string;
  readonly backend: BackendChoice;
  readonly dtype: DtypeChoice;
  readonly threads?: number;
  readonly contextLength?: number;
  readonly cacheDtype?: CacheDtype;
  readonly device?: string;
}

export interface SamplingOptions {
  readonly temperature?: number;
  readonly topP?: number;
  readonly topK?: number;
  readonly minP?: number;
  readonly repetitionPenalty?: number;
}

/** Adds --model, under a heading. */
export function addModel(command: Command): Command {
  return command
    .optionsGroup("Model:")
    .option(
      "-m, --model <model>",
      "folder, .gguf file, URL, or model of the hub: org/name, hf:org/name:Q4_K_M (default: the bundled pico-reasoner)",
    );
}

/** Adds where and in which precision to compute. */
export function addPlace(command: Command): Command {
  return command
    .addOption(new Option("--backend <name>", "where to compute").choices(BACKEND_CHOICES).default("auto"))
    .addOption(
      new Option(
        "--dtype <dtype>",
        "precision of the weights: auto (the checkpoint's own while it fits, else q8), own, q8 or q4 made on load",
      )
        .choices(DTYPE_CHOICES)
        .default("auto"),
    )
    .option("--threads <n>", "threads of the CPU backend (default: one for each core)", wholeNumber(1))
    .option(
      "--context-length <n>",
      "tokens of prompt and output together (default: the model's)",
      wholeNumber(1),
    )
    .addOption(
      new Option(
        "--cache-dtype <dtype>",
        "keys and values in f16, f32 or q8 (int8; default: f16 on a GPU, f32 on a CPU)",
      ).choices(CACHE_DTYPES),
    );
}

/** Adds --device. The command's action begins with `rerunOnDevice`. */
export function addDevice(command: Command): Command {
  return command.option(
    "--device <n|name>",
    "the GPU to compute on, as `lessismore doctor` lists them (default: the first)",
  );
}

/** Adds the values of sampling, without a seed, under a heading. */
export function addSampling(command: Command): Command {
  return command
    .optionsGroup("Sampling (default: the model's own values):")
    .option(
      "--temperature <t>",
      "0 is greedy",
      decimal("a number of at least 0", () => true),
    )
    .option(
      "--top-p <p>",
      "keep the likeliest tokens of this joint probability",
      decimal("a number above 0, at most 1", (p) => p > 0 && p <= 1),
    )
    .option("--top-k <k>", "keep the k likeliest tokens; 0 keeps all", wholeNumber(0))
    .option(
      "--min-p <p>",
      "keep tokens this likely relative to the likeliest",
      decimal("a number from 0 to 1", (p) => p <= 1),
    )
    .option(
      "--repetition-penalty <r>",
      "above 1 discourages tokens already seen",
      decimal("a number from 0.001 to 1000", (r) => r >= 0.001 && r <= 1000),
    );
}
