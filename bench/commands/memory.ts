import { Command } from "commander";
import { benchMemory } from "../memory/bench-memory.ts";
import { wholeNumber } from "../options.ts";
import { printRows } from "../output.ts";

export function memoryCommand(): Command {
  return new Command("memory")
    .description("peak memory against weights and cache, with a random checkpoint of 222 million parameters")
    .option("--context <n>", "tokens the cache is filled with", wholeNumber, 2048)
    .option("--threads <n>", "threads, the caller's included", wholeNumber)
    .option("--json", "print one JSON object")
    .action(async ({ json, ...options }: { context: number; threads?: number; json?: true }) => {
      printRows([{ ...(await benchMemory(options)) }], json === true);
    });
}
