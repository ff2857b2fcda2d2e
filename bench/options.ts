import { InvalidArgumentError, Option } from "commander";
import type { CacheDtype } from "../src/node/internal.ts";
import { readShape, type Shape } from "./webgpu/shapes.ts";
import { WEIGHT_MIXES } from "./webgpu/weight-mix.ts";

export function wholeNumber(text: string): number {
  if (!/^[1-9]\d*$/.test(text)) throw new InvalidArgumentError("Expected a whole number of at least 1.");
  return Number(text);
}

export function wholeNumbers(text: string): readonly number[] {
  return text.split(",").map(wholeNumber);
}

/** An option of whole numbers whose default shows in the help as it is typed. */
export function wholeNumbersOption(flags: string, description: string, values: readonly number[]): Option {
  return new Option(flags, description).argParser(wholeNumbers).default(values, values.join(","));
}

export function collect(text: string, previous: readonly string[] = []): readonly string[] {
  return [...previous, text];
}

export function shape(nameOrPath: string): Shape {
  try {
    return readShape(nameOrPath);
  } catch (error) {
    throw new InvalidArgumentError(error instanceof Error ? error.message : String(error));
  }
}

/** The dtype of weights made on the device. */
export function dtypeOption(): Option {
  return new Option("--dtype <dtype>", "of weights made on the GPU").choices(WEIGHT_MIXES).default("f16");
}

/** Formats of weights made on the device, in turn. */
export function weightsOption(): Option {
  return new Option(
    "--weights <format,...>",
    `of weights made on the GPU, one after another: ${WEIGHT_MIXES.join(", ")} (default: the --dtype)`,
  ).argParser((text) =>
    text.split(",").map((name) => {
      const found = WEIGHT_MIXES.find((mix) => mix === name);
      if (!found) throw new InvalidArgumentError(`Expected some of ${WEIGHT_MIXES.join(", ")}.`);
      return found;
    }),
  );
}

/** The dtype of keys and values on the device. */
export function cacheDtypeOption(): Option {
  return new Option("--cache-dtype <dtype>", "of keys and values there").choices(CACHE_DTYPES).default("f16");
}

const CACHE_DTYPES = ["f16", "f32", "q8"] as const;

/** Cache dtypes to compare, separated by commas. */
export function cacheDtypesOption(): Option {
  return new Option(
    "--cache-dtype <dtypes>",
    `of keys and values there, in this order: ${CACHE_DTYPES.join(", ")}`,
  )
    .argParser(cacheDtypes)
    .default(["f16"], "f16");
}

function cacheDtypes(text: string): readonly CacheDtype[] {
  return text.split(",").map((name) => {
    const dtype = CACHE_DTYPES.find((one) => one === name);
    if (dtype === undefined) throw new InvalidArgumentError(`Expected some of ${CACHE_DTYPES.join(", ")}.`);
    return dtype;
  });
}
