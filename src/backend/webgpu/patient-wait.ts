import { nap } from "../../base/nap.ts";
import { nextTurn } from "../../base/yield.ts";

/** Longest nap before the device is polled, between which the event loop has a turn. */
const LONGEST_NAP_MS = 0.5;
/** Naps between polls of the device: a share of the wait so far, within these limits. */
const POLL_NAP_SHARE = 0.04;
const LEAST_POLL_NAP_MS = 0.15;
const LONGEST_POLL_NAP_MS = 2;
/** By how much a nap may overrun. */
const NAP_OVERRUN_MS = 0.06;
/** Timers fire up to a millisecond early, and late when the loop is busy: they are for longer waits. */
const LEAST_TIMER_MS = 2;
/** Turns of the event loop in which data that is there already arrives. */
const ARRIVAL_TURNS = 2;

/** True where waiting for the device polls it from the event loop, so that it pays to look late and seldom. */
export const isPolled = nap !== undefined;

/** Sleeps until a time of `performance.now()`; the event loop has a turn every half of a millisecond. */
export function sleepUntil(time: number): Promise<void> {
  return new Promise((resolve) => {
    const turn = () => {
      const left = time - performance.now();
      if (left <= 0) {
        resolve();
      } else if (left >= LEAST_TIMER_MS) {
        setTimeout(turn, Math.floor(left) - 1);
      } else {
        nap?.(Math.min(LONGEST_NAP_MS, Math.max(0, left - NAP_OVERRUN_MS)));
        nextTurn(turn);
      }
    };
    turn();
  });
}

/**
 * Waits for a promise of the device with few polls: between turns of the event loop this thread naps, the longer it has waited
 * the longer. Resolves to whether the promise was still pending when it was first looked at.
 */
export function waitWithFewPolls(answer: Promise<void>): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const started = performance.now();
    let isPending = true;
    let wasPending = false;
    let turns = 0;
    const turn = () => {
      if (!isPending) return;
      if (turns++ >= ARRIVAL_TURNS) {
        wasPending = true;
        const wanted = POLL_NAP_SHARE * (performance.now() - started);
        nap?.(Math.min(LONGEST_POLL_NAP_MS, Math.max(LEAST_POLL_NAP_MS, wanted)));
      }
      nextTurn(turn);
    };
    answer.then(
      () => {
        isPending = false;
        resolve(wasPending);
      },
      (error: unknown) => {
        isPending = false;
        reject(error);
      },
    );
    turn();
  });
}
