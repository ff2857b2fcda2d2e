import { Command } from "commander";
import { collect } from "../args.ts";

const NOTES = `
It takes the options of eval that choose the model, the tasks, their lengths, the
machine and the output, such as --model, --tasks, --length, --problems,
--text-file, --out and --json. --attention names the setting to start from
(default: an eighth of the length, the model's layers). Tasks, unless named:
registers-chain, variables-chain and graph-chain for the bundled model,
perplexity for another. A run that was stopped goes on where it was.

  lessismore eval ablations --length 2048 \\
    --attention less-is-more:budget=256,layers=2+7
  lessismore eval ablations --model path/to/SmolLM2 --vary layers,sets \\
    --text-file book.txt`;

/** `lessismore eval ablations`. run: receives the names of `--vary` and this command, which has eval's options too. */
export function evalAblationsCommand(
  run: (factors: readonly string[], command: Command) => Promise<void>,
): Command {
  return new Command("ablations")
    .description("vary the settings of less-is-more one at a time, in one table")
    .option("--vary <names>", "layers, recency, sinks, sets, budget, by commas (default: all)", collect)
    .addHelpText("after", NOTES)
    .action(async (options: { readonly vary?: readonly string[] }, command: Command) => {
      const factors = (options.vary ?? []).flatMap((names) => names.split(",").map((name) => name.trim()));
      await run(factors, command);
    });
}
