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

/** Waits in which turns nap already: naps beside them would make them late. */
let numNapping = 0;
/** Waits of `napWhilePending`, when the youngest began, and the turns since then. One loop naps for all. */
let numPending = 0;
let pendingSince = 0;
let pendingTurns = 0;
let isLooping = false;

/** Sleeps until a time of `performance.now()`; the event loop has a turn every half of a millisecond. */
export function sleepUntil(time: number): Promise<void> {
  return new Promise((resolve) => {
    let isNapping = false;
    const turn = () => {
      const left = time - performance.now();
      if (left <= 0) {
        if (isNapping) numNapping--;
        resolve();
      } else if (left >= LEAST_TIMER_MS) {
        setTimeout(turn, Math.floor(left) - 1);
      } else {
        if (!isNapping) numNapping++;
        isNapping = true;
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
    numNapping++;
    const end = () => {
      isPending = false;
      numNapping--;
    };
    const turn = () => {
      if (!isPending) return;
      if (turns++ >= ARRIVAL_TURNS) {
        wasPending = true;
        nap?.(napAfter(performance.now() - started, LONGEST_POLL_NAP_MS));
      }
      nextTurn(turn);
    };
    answer.then(
      () => {
        end();
        resolve(wasPending);
      },
      (error: unknown) => {
        end();
        reject(error);
      },
    );
    turn();
  });
}

/** Returns the milliseconds of a nap, so long after a wait began. */
function napAfter(waited: number, longest: number): number {
  return Math.min(longest, Math.max(LEAST_POLL_NAP_MS, POLL_NAP_SHARE * waited));
}

/**
 * Naps between turns of the event loop while a promise of the device is pending, for waits beside which others work: a kernel
 * compiles for seconds. The naps are short, and any number of waits share them.
 */
export function napWhilePending(answer: Promise<unknown>): void {
  if (!isPolled) return;
  numPending++;
  pendingSince = performance.now();
  pendingTurns = 0;
  answer.then(endPending, endPending);
  if (isLooping) return;
  isLooping = true;
  nextTurn(napForPending);
}

function endPending(): void {
  numPending--;
}

function napForPending(): void {
  isLooping = numPending > 0;
  if (!isLooping) return;
  if (pendingTurns++ >= ARRIVAL_TURNS && numNapping === 0)
    nap?.(napAfter(performance.now() - pendingSince, LONGEST_NAP_MS));
  nextTurn(napForPending);
}
