#!/usr/bin/env node
import { readFileSync } from "node:fs";
import { Command, CommanderError } from "commander";
import { UsageError } from "./args.ts";
import { doctorCommand } from "./commands/doctor.ts";
import { generateCommand } from "./commands/generate.ts";
import { inspectCommand } from "./commands/inspect.ts";
import { modelsCommand } from "./commands/models.ts";
import { pullCommand } from "./commands/pull.ts";

process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(0); // The reader has seen enough.
  process.stderr.write(`lessismore: cannot write to standard output: ${error.message}\n`);
  process.exit(1);
});
process.stderr.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error; // Nobody reads the notes.
});
process.exitCode = await run(process.argv.slice(2));

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
    inspectCommand(done),
    pullCommand(done),
    modelsCommand(done),
    doctorCommand(done),
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
