/** A process that opens checkpoints, with limits on time and memory. */
import { type ChildProcess, fork } from "node:child_process";
import { repositoryPath } from "../golden/open-fixture.ts";

/** Time limit for one checkpoint, on a busy machine. */
export const CASE_MS = 10_000;
const HEAP_MEGABYTES = 512;
/** Limit on the process: its heap, weights and cache of a small model, buffers of the longest texts. */
export const PEAK_BYTES = 1.5 * 2 ** 30;
/** Time limit for the start of a process. */
const READY_MS = 30_000;

export interface Outcome {
  /** "engine", "typed CODE: MESSAGE", or what went wrong. */
  readonly outcome: string;
  readonly peakBytes: number;
}

/** Opens folders of files one after another. A case that ends otherwise than it may gets the process killed. */
export class OpeningProcess {
  #child: ChildProcess | undefined;

  async open(files: Record<string, Uint8Array>, backend: string): Promise<Outcome> {
    this.#child ??= await start();
    const answer = next(this.#child, CASE_MS);
    this.#child.send({ files, backend });
    const outcome = await answer;
    if (!/^(engine|typed )/.test(outcome.outcome)) this.close();
    return outcome;
  }

  close(): void {
    this.#child?.kill("SIGKILL");
    this.#child = undefined;
  }
}

async function start(): Promise<ChildProcess> {
  const started = fork(repositoryPath("test/fuzz/open-folder.mjs"), [], {
    execArgv: [`--max-old-space-size=${HEAP_MEGABYTES}`],
    serialization: "advanced",
    stdio: ["ignore", "ignore", "pipe", "ipc"],
  });
  await next(started, READY_MS);
  return started;
}

/** Resolves with the next message of a process, or with an outcome that reports its end or a timeout. */
function next(of: ChildProcess, withinMs: number): Promise<Outcome> {
  return new Promise((resolve) => {
    let errors = "";
    const hear = (chunk: Buffer) => {
      errors += chunk;
    };
    const settle = (outcome: Outcome) => {
      clearTimeout(timer);
      of.off("message", settle).off("exit", exit);
      of.stderr?.off("data", hear);
      resolve(outcome);
    };
    const exit = (code: number | null) =>
      settle({ outcome: `the process ended with ${code}: ${errors.slice(-2000)}`, peakBytes: 0 });
    const timer = setTimeout(
      () => settle({ outcome: `nothing after ${withinMs} ms`, peakBytes: 0 }),
      withinMs,
    );
    of.stderr?.on("data", hear);
    of.on("message", settle).on("exit", exit);
  });
}
