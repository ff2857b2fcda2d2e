import { BACKEND_CHOICES, type BackendChoice } from "../src/node/index.ts";
import { TASKS, type TaskName } from "./problems/index.ts";

/** Reads a whole number of at least `least`. @throws RangeError naming the flag. */
export function readWhole(flag: string, text: string, least: number): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(value) || value < least)
    throw new RangeError(`${flag} must be a whole number of at least ${least}, got "${text}"`);
  return value;
}

/** @throws RangeError on an unknown task. */
export function readTask(text: string): TaskName {
  if (text === "registers" || text === "variables" || text === "graph") return text;
  throw new RangeError(`unknown task "${text}"; known are ${Object.keys(TASKS).join(", ")}`);
}

/** @throws RangeError on an unknown backend. */
export function readBackend(text: string): BackendChoice {
  const choice = BACKEND_CHOICES.find((one) => one === text);
  if (choice !== undefined) return choice;
  throw new RangeError(`unknown backend "${text}"; known are ${BACKEND_CHOICES.join(", ")}`);
}

/** Runs a program's main function. An error becomes one line and exit code 1, or 2 for a wrong command line. */
export async function runMain(name: string, main: () => Promise<void>): Promise<void> {
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code === "EPIPE") process.exit(0); // The reader has seen enough.
    throw error;
  });
  try {
    await main();
  } catch (error) {
    const isUsage =
      error instanceof RangeError ||
      (error instanceof TypeError && String(Reflect.get(error, "code")).startsWith("ERR_PARSE_ARGS"));
    console.error(`${name}: ${error instanceof Error ? error.message : String(error)}`);
    process.exitCode = isUsage ? 2 : 1;
  }
}
