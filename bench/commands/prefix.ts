import { Command, Option } from "commander";
import { BACKEND_CHOICES, type BackendChoice } from "../../src/node/index.ts";
import { wholeNumber } from "../options.ts";
import { printRows } from "../output.ts";
import { benchSharedPrefix } from "../shared-prefix.ts";

interface Options {
  readonly backend: BackendChoice;
  readonly model?: string;
  readonly threads?: number;
  readonly shared: number;
  readonly added: number;
  readonly rounds: number;
  readonly json?: true;
}

export function prefixCommand(): Command {
  return new Command("prefix")
    .description(
      "milliseconds to the first token of a second turn whose first one is cached, or loaded as a session, beside the same prompt without; medians over rounds",
    )
    .addOption(new Option("--backend <name>").choices(BACKEND_CHOICES).default("auto"))
    .option("--model <folder>", "a checkpoint (default: the bundled model)")
    .option("--threads <n>", "threads on the CPU, the caller's included", wholeNumber)
    .option("--shared <n>", "tokens of the first turn", wholeNumber, 3904)
    .option("--added <n>", "tokens that the second turn adds", wholeNumber, 64)
    .option("--rounds <n>", "second turns of each kind", wholeNumber, 3)
    .option("--json", "print one JSON object")
    .action(async ({ json, ...options }: Options) => {
      printRows([{ ...(await benchSharedPrefix(options)) }], json === true);
    });
}
