/**
 * A process that sees one of several equal cards. Vulkan has no setting for that, and WebGPU knows cards by name; but a driver
 * leaves out a card whose device file it cannot open. So the process gets a mount namespace (Linux, `unshare` of util-linux) in
 * which the files of the other cards lie on mounts that refuse devices. Nothing changes for other processes.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { constants } from "node:os";
import { BackendError } from "../base/errors.ts";

/** The card that this process was started for: its number among all cards, and its PCI address. */
export const GPU_VARIABLE = "LESSISMORE_GPU";

/** Hides the files before "--", and becomes the program behind it. `nosuid` and `noexec`: a mount may not lose those of its parent. */
const SCRIPT = `
while [ "$1" != -- ]; do
  mount --bind "$1" "$1" && mount -o remount,bind,nodev,nosuid,noexec "$1" || exit 1
  shift
done
shift
exec "$@"`;

export interface ProcessCommand {
  readonly file: string;
  readonly args: readonly string[];
}

/** The command that runs a program without some device files. Who is not root needs a user namespace for that. */
export function hidingFiles(
  files: readonly string[],
  { file, args }: ProcessCommand,
  isRoot = process.getuid?.() === 0,
): ProcessCommand {
  const rights = isRoot ? [] : ["--map-root-user"];
  const shell = ["sh", "-c", SCRIPT, "sh", ...files, "--", file, ...args];
  return { file: "unshare", args: [...rights, "--mount", "--propagation", "private", ...shell] };
}

/** Checks that this process may hide files. @throws BackendError with what refused, and what to do */
export function checkHiding(files: readonly string[]): void {
  const { file, args } = hidingFiles(files, { file: "true", args: [] });
  const { status, stderr, error } = spawnSync(file, args, { encoding: "utf8", timeout: 10_000 });
  if (status === 0) return;
  const why = error?.message ?? (stderr.trim().replace(/\s*\n\s*/g, "; ") || `exit code ${status}`);
  throw new BackendError(
    `hiding ${files.join(", ")} from a process, so that it sees one of the equal GPUs: ${why}; it needs Linux, the command unshare ` +
      "(util-linux), and root or user namespaces. Else give the process one card: a container with one, or DeviceAllow= of systemd",
  );
}

export interface OneGpu {
  /** Number of the card in the list of all. */
  readonly index: number;
  /** PCI address of the card that stays in sight. */
  readonly address: string;
  /** Device files of the others. */
  readonly hide: readonly string[];
}

/** This program with other arguments, where it sees one card, and the environment that tells it so. */
function withOneGpu({ index, address, hide }: OneGpu, args: readonly string[]) {
  const [script = ""] = process.argv.slice(1);
  const own = { file: process.execPath, args: [...process.execArgv, script, ...args] };
  return { ...hidingFiles(hide, own), env: { ...process.env, [GPU_VARIABLE]: `${index} ${address}` } };
}

/**
 * Runs this program with other arguments in a process that sees one card, and returns what it printed, whatever its exit code.
 * @throws BackendError where files cannot be hidden, or the process ends without a word
 */
export function outputWithOneGpu(gpu: OneGpu, args: readonly string[], timeoutMs: number): string {
  checkHiding(gpu.hide);
  const command = withOneGpu(gpu, args);
  const options = { encoding: "utf8", env: command.env, timeout: timeoutMs, maxBuffer: 2 ** 26 } as const;
  const { stdout, stderr, status, error } = spawnSync(command.file, command.args, options);
  if (!error && stdout !== "") return stdout;
  const why = error?.message ?? `exit code ${status}: ${stderr.trim()}`;
  throw new BackendError(`running ${args.join(" ")} where the GPU at ${gpu.address} is alone: ${why}`);
}

/**
 * Runs this program again, with the same command line, in a process that sees one card; its input, output and signals are this
 * process's. Resolves with its exit code.
 * @throws BackendError where files cannot be hidden
 */
export function runWithOneGpu(gpu: OneGpu): Promise<number> {
  checkHiding(gpu.hide);
  const { file, args, env } = withOneGpu(gpu, process.argv.slice(2));
  const child = spawn(file, args, { stdio: "inherit", env });
  const stop = passSignals(child);
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code, signal) => {
      stop();
      resolve(code ?? 128 + (signal === null ? 1 : constants.signals[signal]));
    });
  });
}

/** Passes signals on. A terminal gives Ctrl-C to both processes by itself. */
function passSignals(child: ChildProcess): () => void {
  const pass = (signal: NodeJS.Signals) => {
    if (signal !== "SIGINT" || !process.stdin.isTTY) child.kill(signal);
  };
  const signals = ["SIGTERM", "SIGINT", "SIGHUP"] as const;
  for (const signal of signals) process.on(signal, pass);
  return () => {
    for (const signal of signals) process.off(signal, pass);
  };
}
