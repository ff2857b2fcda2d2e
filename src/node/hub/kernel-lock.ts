/**
 * Locks on files that the kernel releases when their holder ends, however it ends: a lock of a dead process is free.
 *
 * Python's filelock takes flock(2) on the same paths on Linux and macOS. Node has no call for it, but:
 * - Linux: the program flock(1) of util-linux or BusyBox takes it; it holds the lock while its standard input is open,
 *   which the kernel closes with this process.
 * - macOS: open(2) takes it with O_EXLOCK. Windows: libuv opens a file for one process alone, which Python's filelock
 *   counts as locked too (UV_FS_O_EXLOCK, docs of libuv, "File open constants").
 */
import { spawn } from "node:child_process";
import { closeSync, constants, openSync } from "node:fs";
import { throwIfAborted } from "../../base/abort.ts";
import { ModelFileError } from "../../base/errors.ts";

/** A lock that the operating system frees when its process ends. */
export interface KernelLock {
  /** Lets the next process have it. */
  release(): Promise<void>;
}

/** How to wait for a lock. */
export interface LockOptions {
  readonly signal: AbortSignal | undefined;
  /** Called once if another process holds the lock. */
  readonly onWait: () => void;
}

/** Flags of libuv: O_EXLOCK | O_NONBLOCK of macOS, UV_FS_O_EXLOCK of Windows. */
const EXCLUSIVE: Readonly<Record<string, number>> = { darwin: 0x20 | 0x4, win32: 0x10000000 };
const POLL_MS = 200;
/** The lock counts as held by another process if it is not there by then. */
const WAITING_MS = 500;

/**
 * Waits for the lock on a file, which it makes if missing. undefined: this machine has no means (Linux without flock(1), or a
 * file system without locks); the caller must then not share files with other processes.
 * @throws AbortedError, ModelFileError when the file cannot be made
 */
export async function takeKernelLock(path: string, options: LockOptions): Promise<KernelLock | undefined> {
  const flags = EXCLUSIVE[process.platform];
  return flags === undefined ? lockByProgram(path, options) : lockByOpening(path, flags, options);
}

async function lockByOpening(
  path: string,
  exclusive: number,
  { signal, onWait }: LockOptions,
): Promise<KernelLock | undefined> {
  for (let attempt = 0; ; attempt++) {
    throwIfAborted(signal, `waiting for ${path}`);
    try {
      const file = openSync(path, constants.O_RDWR | constants.O_CREAT | exclusive, 0o664);
      return { release: async () => closeSync(file) };
    } catch (cause) {
      const code = cause instanceof Error && "code" in cause ? String(cause.code) : "";
      if (code === "ENOTSUP" || code === "EOPNOTSUPP") return undefined;
      if (!["EAGAIN", "EWOULDBLOCK", "EBUSY", "EACCES", "EPERM"].includes(code))
        throw new ModelFileError(`locking ${path}: ${String(cause)}`, { cause });
    }
    if (attempt === 0) onWait();
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

/** The program echoes a byte once it has the lock: `flock FILE cat`. */
function lockByProgram(path: string, { signal, onWait }: LockOptions): Promise<KernelLock | undefined> {
  throwIfAborted(signal, `waiting for ${path}`);
  return new Promise((resolve, reject) => {
    // detached: a Ctrl-C at the terminal must not end the holder before this process has ended its work.
    const holder = spawn("flock", [path, "cat"], { stdio: ["pipe", "pipe", "pipe"], detached: true });
    const waiting = setTimeout(onWait, WAITING_MS);
    let problem = "";
    const settle = (end: () => void) => {
      clearTimeout(waiting);
      signal?.removeEventListener("abort", abort);
      end();
    };
    const abort = () => {
      holder.kill();
      holder.stdin.destroy();
      settle(() => {
        try {
          throwIfAborted(signal, `waiting for ${path}`);
        } catch (error) {
          reject(error);
        }
      });
    };
    signal?.addEventListener("abort", abort, { once: true });
    holder.stderr.on("data", (text) => {
      problem += String(text).slice(0, 500);
    });
    holder.stdin.on("error", () => {}); // "close" tells why it ended.
    holder.on("error", () => settle(() => resolve(undefined))); // There is no such program.
    const ended = new Promise<void>((done) => holder.on("close", () => done()));
    holder.on("close", (code) =>
      settle(() => {
        // A file system without locks: the caller must do without.
        if (/not (supported|implemented)|no locks|Invalid argument/i.test(problem)) resolve(undefined);
        else reject(new ModelFileError(`locking ${path}: flock ended with ${code}: ${problem.trim()}`));
      }),
    );
    holder.stdout.once("data", () =>
      settle(() =>
        resolve({
          release: async () => {
            holder.stdin.end();
            await ended;
          },
        }),
      ),
    );
    holder.stdin.write("\n");
  });
}
