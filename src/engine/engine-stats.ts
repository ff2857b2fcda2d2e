import type { PageCounts, PagePool } from "../kv/page-pool.ts";
import type { Admission } from "./admission.ts";
import type { PrefixCounts, PrefixReuse } from "./prefix-reuse.ts";
import type { StepCounts } from "./step-runner.ts";

/** What an engine does at present, and what it has done since it was opened. */
export interface EngineStats {
  /** Requests that hold pages. */
  readonly running: number;
  /** Requests, and calls of `logits` and `score`, that wait for a place, pages, weights or kernels. */
  readonly waiting: number;
  /** Of the waiting requests, those that gave their pages to older ones. */
  readonly waitingPreempted: number;
  /** Preemptions since the engine was opened. */
  readonly preempted: number;
  /** free + held + cached = total. */
  readonly pages: PageCounts;
  readonly prefix: PrefixCounts;
  readonly steps: StepCounts;
}

/** waiting: of all that wait */
export function statsOf({
  admission,
  pool,
  prefix,
  waiting,
  steps,
}: {
  readonly admission: Admission;
  readonly pool: PagePool;
  readonly prefix: PrefixReuse;
  readonly waiting: number;
  readonly steps: StepCounts;
}): EngineStats {
  return {
    running: admission.running.filter(({ isDone }) => !isDone).length,
    waiting,
    waitingPreempted: admission.waiting.filter((request) => request !== undefined && request.numPreempted > 0)
      .length,
    preempted: admission.numPreemptions,
    pages: pool.counts,
    prefix: prefix.counts,
    steps,
  };
}
