import { execFileSync } from "node:child_process";
import { availableParallelism, cpus, loadavg, release } from "node:os";

/** Processes that wanted a core in the minute before this one started. */
const LOAD_BEFORE = loadavg()[0] ?? 0;

/** What a figure needs beside it to be judged. */
export function describeRun(): Readonly<Record<string, string | number>> {
  return {
    date: new Date().toISOString(),
    commit: git("describe", "--always", "--dirty"),
    command: `npm run bench -- ${process.argv.slice(2).join(" ")}`,
    cpu: cpus()[0]?.model ?? "unknown",
    cores: availableParallelism(),
    /** Above 0 before the run began: others used the machine too. */
    loadBefore: Number(LOAD_BEFORE.toFixed(2)),
    node: process.version,
    system: `${process.platform} ${release()}`,
  };
}

function git(...args: string[]): string {
  try {
    return execFileSync("git", args, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
  } catch {
    return "unknown"; // not a checkout
  }
}
