#!/usr/bin/env node
import { readFileSync } from "node:fs";
import { Command, CommanderError } from "commander";
import { UsageError } from "./args.ts";
import { calibrateCommand } from "./commands/calibrate.ts";
import { chatCommand } from "./commands/chat.ts";
import { doctorCommand } from "./commands/doctor.ts";
import { evalCommand } from "./commands/eval.ts";
import { generateCommand } from "./commands/generate.ts";
import { inspectCommand } from "./commands/inspect.ts";
import { modelsCommand } from "./commands/models.ts";
import { pullCommand } from "./commands/pull.ts";
import { serveCommand } from "./commands/serve.ts";

process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(0); // The reader has seen enough.
  process.stderr.write(`lessismore: cannot write to standard output: ${error.message}\n`);
  process.exit(1);
});
process.stderr.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error; // Nobody reads the notes.
});
let isRunning = true;
// Node would end without a word.
process.on("beforeExit", () => {
  if (!isRunning) return;
  process.stderr.write(
    "lessismore: the command waits for a promise that nothing is left to settle, such as one of a policy's file\n",
  );
  process.exit(1);
});
process.exitCode = await run(process.argv.slice(2));
isRunning = false;

/** Runs one command line. Exit code: 0, 1 (the work failed), 2 (the command line was wrong) or 130 (Ctrl-C). */
async function run(args: readonly string[]): Promise<number> {
  let exitCode = 0;
  const done = (code: number) => {
    exitCode = code;
  };
  const program = new Command("lessismore")
    .description("Runs reasoning LLMs with training-free sparse attention.")
    .version(readVersion());
  for (const command of [
    generateCommand(done),
    chatCommand(done),

    serveCommand(done),
    inspectCommand(done),
    pullCommand(done),
    modelsCommand(done),
    doctorCommand(done),
    evalCommand(done),
    calibrateCommand(done),
  ])
    program.addCommand(command);
  for (const command of [program, ...program.commands.flatMap((one) => [one, ...one.commands])])
    command.exitOverride().configureOutput({ outputError: () => {} }); // Printed once, below.
  try {
    await program.parseAsync(args, { from: "user" });
    return exitCode;
  } catch (error) {
    if (error instanceof CommanderError && (error.exitCode === 0 || error.code === "commander.help"))
      return error.exitCode === 0 ? 0 : 2;
    const message = error instanceof Error ? error.message : String(error);
    process.stderr.write(`lessismore: ${message.replace(/^error: /, "").replace(/\s*\n\s*/g, " ")}\n`);
    return error instanceof CommanderError || error instanceof UsageError ? 2 : 1;
  }
}

function readVersion(): string {
  // dist/src/cli/main.js and src/cli/main.ts are at different depths below package.json.
  for (const path of ["../../package.json", "../../../package.json"]) {
    try {
      const { name, version } = JSON.parse(readFileSync(new URL(path, import.meta.url), "utf8"));
      if (name === "lessismore") return String(version);
    } catch {
      // Not at this depth.
    }
  }
  return "unknown";
}
