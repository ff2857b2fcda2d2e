import { nap } from "../../base/nap.ts";
import { nextTurn } from "../../base/yield.ts";

/** Maximum nap between turns of the event loop, while others need the loop too. */
const MAX_NAP_MS = 0.5;
/** Naps between polls of the device take this share of the wait so far, within the limits below. */
const POLL_NAP_SHARE = 0.04;
const MIN_POLL_NAP_MS = 0.3;
const MAX_POLL_NAP_MS = 2;
/** Maximum overrun of a nap. */
const NAP_OVERRUN_MS = 0.06;
/** Minimum wait for a timer. A timer fires up to a millisecond early, and late if the loop is busy. */
const MIN_TIMER_MS = 2;
/** Turns of the event loop that deliver data which the device has already. */
const ARRIVAL_TURNS = 1;

/** True if a wait polls the device from the event loop, so that late and rare looks pay. */
export const isPolled = nap !== undefined;

/** Waits whose own turns nap. Other naps pause meanwhile, since they would make these waits late. */
let numNapping = 0;
/** Pending waits of `napWhilePending`. One loop naps for all of them. */
let numPending = 0;
/** Start of the youngest of them, and the turns since then. */
let pendingSince = 0;
let pendingTurns = 0;
let isLooping = false;

/** Sleeps until a time of `performance.now()`. The event loop has a turn every half millisecond. */
export function sleepUntil(time: number): Promise<void> {
  return new Promise((resolve) => {
    let isNapping = false;
    const turn = () => {
      const left = time - performance.now();
      if (left <= 0) {
        if (isNapping) numNapping--;
        resolve();
      } else if (left >= MIN_TIMER_MS) {
        setTimeout(turn, Math.floor(left) - 1);
      } else {
        if (!isNapping) numNapping++;
        isNapping = true;
        nap?.(Math.min(MAX_NAP_MS, Math.max(0, left - NAP_OVERRUN_MS)));
        nextTurn(turn);
      }
    };
    turn();
  });
}

/**
 * Waits for a promise of the device with few polls: this thread naps between turns of the event loop, and naps grow with the
 * wait. Resolves to true if the promise was still pending at the first look.
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
        nap?.(napAfter(performance.now() - started, MAX_POLL_NAP_MS));
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

/** Returns the milliseconds of a nap after a wait of `waited` milliseconds. */
function napAfter(waited: number, longest: number): number {
  return Math.min(longest, Math.max(MIN_POLL_NAP_MS, POLL_NAP_SHARE * waited));
}

/**
 * Naps between turns of the event loop while a promise of the device is pending. For long waits that run beside other work, such
 * as the seconds of a kernel's compilation. The naps are short, and all such waits share them.
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
    nap?.(napAfter(performance.now() - pendingSince, MAX_NAP_MS));
  nextTurn(napForPending);
}
