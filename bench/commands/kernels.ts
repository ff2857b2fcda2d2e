import { Command, Option } from "commander";
import { benchWasmKernels } from "../kernels/wasm.ts";
import { wholeNumber } from "../options.ts";
import { printRows } from "../output.ts";

/** Kernels by backend: a new one is a file in kernels/ and a row here. */
const BENCHES = { wasm: benchWasmKernels } as const;

export function kernelsCommand(): Command {
  return new Command("kernels")
    .description("single kernels against a plain read, and one thread against all")
    .addOption(new Option("--backend <name>").choices(Object.keys(BENCHES)).default("wasm"))
    .option("--threads <n>", "threads, the caller's included", wholeNumber)
    .option("--json", "print one JSON object")
    .action(async (options: { backend: keyof typeof BENCHES; threads?: number; json?: true }) => {
      const figures = await BENCHES[options.backend](options.threads);
      printRows(
        figures.map(({ name, ...rest }) => ({ kernel: name, ...rest })),
        options.json === true,
      );
    });
}
