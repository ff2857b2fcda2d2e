import { execFileSync } from "node:child_process";
import { availableParallelism, cpus, release } from "node:os";

/** The commit of what runs, as `bench report` writes it. */
export interface Revision {
  /** "unknown" where there is no checkout and nobody names it. */
  readonly commit: string;
  /** The tree has changes that no commit holds: figures of it can never be taken again. */
  readonly isDirty: boolean;
}

/** Machine, commit, command and load: without them a figure cannot be judged. */
export function describeRun(
  revision = checkedOutRevision(),
): Readonly<Record<string, string | number | boolean>> {
  return {
    date: new Date().toISOString(),
    commit: revision.commit,
    isDirty: revision.isDirty,
    command: `npm run bench -- ${process.argv.slice(2).join(" ")}`,
    cpu: cpus()[0]?.model ?? "unknown",
    cores: availableParallelism(),
    node: process.version,
    system: `${process.platform} ${release()}`,
    othersBusy: othersBusy(),
  };
}

/** The commit that is checked out where the program was called. */
export function checkedOutRevision(): Revision {
  const commit = git("rev-parse", "--short=12", "HEAD");
  return { commit: commit ?? "unknown", isDirty: (git("status", "--porcelain") ?? "") !== "" };
}

/**
 * The commit of a report. named: what `--commit` says, for a copy of the tree without its git directory.
 * @throws RangeError where the commit is not known, or is another than the one named, or the tree has changes and that is not allowed.
 */
export function reportRevision(
  checkedOut: Revision,
  { commit: named, allowDirty }: { readonly commit?: string; readonly allowDirty?: boolean },
): Revision {
  const { commit, isDirty } = checkedOut;
  if (commit === "unknown" && named === undefined)
    throw new RangeError(
      "a report names its commit, and there is no git checkout here; give --commit HASH, or run it in a checkout",
    );
  if (commit === "unknown") return { commit: named ?? commit, isDirty: false };
  if (named !== undefined && !commit.startsWith(named) && !named.startsWith(commit))
    throw new RangeError(`--commit ${named} is not the commit that is checked out, ${commit}; leave it out`);
  if (isDirty && !allowDirty)
    throw new RangeError(
      `the tree has changes that commit ${commit} does not hold; commit them, or give --allow-dirty, which marks the JSON`,
    );
  return checkedOut;
}

/** Milliseconds that all cores together were busy since the system started. */
function busyMs(): number {
  return cpus().reduce((sum, { times }) => sum + times.user + times.nice + times.sys + times.irq, 0);
}

const STARTED = { ms: performance.now(), busyMs: busyMs() };

/** Share of the cores' time that other processes took since this one started. Above a few hundredths the machine was shared. */
function othersBusy(): number {
  const { user, system } = process.cpuUsage();
  const others = busyMs() - STARTED.busyMs - (user + system) / 1000;
  return Math.max(0, others / (performance.now() - STARTED.ms) / availableParallelism());
}

function git(...args: string[]): string | undefined {
  try {
    return execFileSync("git", args, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
  } catch {
    return undefined; // not a checkout
  }
}
