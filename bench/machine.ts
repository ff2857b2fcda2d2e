import { execFileSync } from "node:child_process";
import { availableParallelism, cpus, release } from "node:os";

/** What a figure needs beside it to be judged. */
export function describeRun(): Readonly<Record<string, string | number>> {
  return {
    date: new Date().toISOString(),
    commit: git("describe", "--always", "--dirty"),
    command: `npm run bench -- ${process.argv.slice(2).join(" ")}`,
    cpu: cpus()[0]?.model ?? "unknown",
    cores: availableParallelism(),
    node: process.version,
    system: `${process.platform} ${release()}`,
    othersBusy: othersBusy(),
  };
}

/** Milliseconds that all cores together were busy since the system started. */
function busyMs(): number {
  return cpus().reduce((sum, { times }) => sum + times.user + times.nice + times.sys + times.irq, 0);
}

const STARTED = { ms: performance.now(), busyMs: busyMs() };

/** Share of the cores' time that other processes took since this one started: above a few hundredths it was shared. */
function othersBusy(): number {
  const { user, system } = process.cpuUsage();
  const others = busyMs() - STARTED.busyMs - (user + system) / 1000;
  return Math.max(0, others / (performance.now() - STARTED.ms) / availableParallelism());
}

function git(...args: string[]): string {
  try {
    return execFileSync("git", args, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
  } catch {
    return "unknown"; // not a checkout
  }
}
