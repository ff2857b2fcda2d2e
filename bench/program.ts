import { Command } from "commander";
import { checkpointCommand } from "./commands/checkpoint.ts";
import { compareCommand } from "./commands/compare.ts";
import { decodeCommand } from "./commands/decode.ts";
import { efficiencyCommand } from "./commands/efficiency.ts";
import { hostCommand } from "./commands/host.ts";
import { jitterCommand } from "./commands/jitter.ts";
import { kernelsCommand } from "./commands/kernels.ts";
import { memoryCommand } from "./commands/memory.ts";
import { prefillCommand } from "./commands/prefill.ts";
import { prefixCommand } from "./commands/prefix.ts";
import { reportCommand } from "./commands/report.ts";
import { requestsCommand } from "./commands/requests.ts";
import { serveCommand } from "./commands/serve.ts";
import { backendsCommand, stepsCommand } from "./commands/steps.ts";
import { takeDevice } from "./device.ts";

/** The command line, all its commands added. */
export function createProgram(): Command {
  const program = new Command("bench")
    .description("Timings of kernels and of whole steps, and peak memory.")
    .option(
      "--device <n|name>",
      "the GPU to compute on, as `lessismore doctor` lists them (default: the first)",
    )
    .hook("preAction", async (program) => {
      const exitCode = await takeDevice(program.opts<{ device?: string }>().device);
      if (exitCode !== undefined) process.exit(exitCode); // the command has run, where the GPU has no equal
    });
  const single = [kernelsCommand(), stepsCommand(), backendsCommand(), memoryCommand(), checkpointCommand()];
  const whole = [
    decodeCommand(),
    prefillCommand(),
    prefixCommand(),
    requestsCommand(),
    hostCommand(),
    serveCommand(),
    jitterCommand(),
    efficiencyCommand(),
  ];
  const judged = [reportCommand(), compareCommand()];
  for (const command of [...single, ...whole, ...judged]) program.addCommand(command);
  return program;
}
