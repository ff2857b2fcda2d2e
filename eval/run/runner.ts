/** Runs a plan: keeps the solver busy, appends each finished attempt at once, and stops cleanly. */
import { setMaxListeners } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { AbortedError, EngineError } from "../../src/node/index.ts";
import type { Attempt } from "../attempts/attempt.ts";
import type { AttemptLog } from "../attempts/attempt-log.ts";
import { attemptKey } from "../attempts/attempt-schema.ts";
import { type AttemptContext, makeAttempts } from "./make-attempt.ts";
import { remainingWork, type Work } from "./work.ts";

/** Further tries of a request that failed for a reason that may pass. */
const RETRIES = 2;
const RETRY_MS = 500;
/** Failures in a row, without a success between them, after which the run stops: the next would fail too. */
const MAX_FAILURES_IN_A_ROW = 8;

export interface RunnerOptions extends Omit<AttemptContext, "signal"> {
  readonly log: AttemptLog;
  /** The attempts of earlier runs by their keys; the runner adds its own, without their responses. */
  readonly attempts: Map<string, Attempt>;
  readonly signal: AbortSignal;
  readonly onAttempt?: (attempt: Attempt) => void;
  readonly onFailure?: (failure: AttemptFailure) => void;
}

/** An attempt that could not be made; the next run tries it again. */
export interface AttemptFailure {
  readonly settingsHash: string;
  readonly task: string;
  readonly length?: number;
  readonly attention: string;
  readonly problemId: string;
  readonly attempt: number;
  readonly tries: number;
  readonly error: string;
}

/**
 * Makes the attempts that are left. A failed request costs its own attempts alone.
 * @returns the failures
 * @throws AbortedError by the signal; the error of a backend or of the disk, and the last one of many in a row, which end the run
 */
export async function runPlan(options: RunnerOptions): Promise<readonly AttemptFailure[]> {
  const { solver, plan, attempts, signal } = options;
  const queue = remainingWork(plan, attempts);
  const run = new Run(options);
  const width = (work: Work) => (work.kind === "chat" ? 1 : Math.min(work.cells.length, solver.concurrency));
  // Largest pieces of work count as several requests: each method is a row of its batch.
  const running = new Set<Promise<void>>();
  let free = solver.concurrency;
  for (const work of queue) {
    while (free < width(work) && !run.isOver) await Promise.race(running);
    if (run.isOver) break;
    free -= width(work);
    const promise = run.attempt(work).finally(() => {
      free += width(work);
      running.delete(promise);
    });
    running.add(promise);
  }
  await Promise.all(running);
  run.throwIfStopped();
  if (signal.aborted) throw new AbortedError("the evaluation was interrupted");
  return run.failures;
}

class Run {
  readonly failures: AttemptFailure[] = [];
  readonly #options: RunnerOptions;
  /** Aborts the requests in flight on the caller's signal, and when the run stops by an error. */
  readonly #stop = new AbortController();
  readonly #context: AttemptContext;
  #failuresInARow = 0;
  #error: unknown;

  constructor(options: RunnerOptions) {
    this.#options = options;
    const signal = AbortSignal.any([options.signal, this.#stop.signal]);
    setMaxListeners(0, signal); // Each request in flight listens.
    this.#context = { ...options, signal };
  }

  get isOver(): boolean {
    return this.#context.signal.aborted;
  }

  throwIfStopped(): void {
    if (this.#stop.signal.aborted) throw this.#error;
  }

  /** Makes the attempts of a piece of work, or records its failure. Never rejects. */
  async attempt(work: Work): Promise<void> {
    for (let tries = 1; !this.isOver; tries++) {
      let rows: readonly Attempt[];
      try {
        rows = await makeAttempts(work, this.#context);
      } catch (error) {
        if (this.isOver) return;
        if (isFatal(error)) return this.#stopBy(error);
        if (tries <= RETRIES && mayPass(error)) {
          await sleep(RETRY_MS * tries, undefined, { signal: this.#context.signal }).catch(() => {});
          continue;
        }
        return this.#fail(work, tries, error);
      }
      return this.#keep(rows);
    }
  }

  async #keep(rows: readonly Attempt[]): Promise<void> {
    const { attempts, log, onAttempt } = this.#options;
    this.#failuresInARow = 0;
    try {
      const fresh = rows.filter((row) => !attempts.has(attemptKey(row)));
      await Promise.all(fresh.map((row) => log.append(row)));
      for (const row of fresh) {
        attempts.set(attemptKey(row), { ...row, response: "" });
        onAttempt?.(row);
      }
    } catch (error) {
      this.#stopBy(error);
    }
  }

  #fail(work: Work, tries: number, error: unknown): void {
    const cells = work.kind === "chat" ? [work.cell] : work.cells;
    const attempt = work.kind === "chat" ? work.attempt : 0;
    for (const { settingsHash, task, length, attention } of cells) {
      const failure: AttemptFailure = {
        ...{ settingsHash, task, attention, attempt, tries },
        ...(length !== undefined && { length }),
        problemId: work.problem.id,
        error: error instanceof Error ? error.message : String(error),
      };
      this.failures.push(failure);
      this.#options.onFailure?.(failure);
    }
    this.#failuresInARow++;
    if (this.#failuresInARow >= MAX_FAILURES_IN_A_ROW) this.#stopBy(error);
  }

  #stopBy(error: unknown): void {
    this.#error ??= error;
    this.#stop.abort();
  }
}

/** A lost device or a full disk: every other request would fail too. */
function isFatal(error: unknown): boolean {
  return error instanceof EngineError && (error.code === "backend" || error.code === "aborted");
}

/** An impossible request stays impossible. */
function mayPass(error: unknown): boolean {
  return !(error instanceof EngineError && (error.code === "request" || error.code === "config"));
}
