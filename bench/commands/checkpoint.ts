import { Argument, Command, Option } from "commander";
import { RANDOM_CONFIGS, type RandomModel, writeRandomCheckpoint } from "../memory/random-checkpoint.ts";
import { printRows } from "../output.ts";

export function checkpointCommand(): Command {
  return new Command("checkpoint")
    .description("write a checkpoint of random bf16 weights in the sizes of a real model, for peers")
    .addArgument(new Argument("<folder>", "where it goes"))
    .addOption(
      new Option("--shape <name>").choices(Object.keys(RANDOM_CONFIGS)).default("smollm2-135m" as const),
    )
    .option("--json", "print one JSON object")
    .action(async (folder: string, { shape, json }: { shape: RandomModel; json?: true }) => {
      printRows([{ shape, folder, weightBytes: await writeRandomCheckpoint(shape, folder) }], json === true);
    });
}
