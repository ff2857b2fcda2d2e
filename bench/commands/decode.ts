import { Command, Option } from "commander";
import { benchDecode } from "../decode.ts";
import { collect, wholeNumber, wholeNumbers } from "../options.ts";
import { printRows } from "../output.ts";

interface Options {
  readonly model?: string;
  readonly backend: "wasm" | "reference";
  readonly context: readonly number[];
  readonly attention?: readonly string[];
  readonly steps: number;
  readonly rounds: number;
  readonly threads?: number;
  readonly json?: true;
}

const ATTENTION = ["full", "less-is-more:budget=256,layers=2+7"];

/** `decode` and `prefill` run the same requests and differ in what they show. */
export function stepCommand(name: "decode" | "prefill"): Command {
  return new Command(name)
    .description(
      name === "decode"
        ? "milliseconds of a decode step, by context and attention; the first attention is the yardstick"
        : "prefill against decode, in tokens a second",
    )
    .option("--model <folder>", "a checkpoint; default: the bundled model")
    .addOption(new Option("--backend <name>").choices(["wasm", "reference"]).default("wasm"))
    .option("--context <n,...>", "cached tokens", wholeNumbers, [1024, 2048, 4096, 8128])
    .option("--attention <spec>", "may be given more than once", collect)
    .option("--steps <n>", "decode steps a round", wholeNumber, 64)
    .option("--rounds <n>", "alternated rounds", wholeNumber, 3)
    .option("--threads <n>", "threads, the caller's included", wholeNumber)
    .option("--json", "print one JSON object")
    .action(async ({ context, attention, json, ...rest }: Options) => {
      const { rows, prefill } = await benchDecode({
        ...rest,
        contexts: context,
        attention: attention ?? (name === "decode" ? ATTENTION : ["full"]),
      });
      const decode = rows.map(({ spreadMs: [leastMs, mostMs], ...row }) => ({ ...row, leastMs, mostMs }));
      printRows(name === "decode" ? decode : prefill, json === true);
    });
}
