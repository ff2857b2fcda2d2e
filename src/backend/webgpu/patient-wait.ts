import { nap } from "../../base/nap.ts";
import { yieldToEventLoop } from "../../base/yield.ts";

/** Longest nap, between which the event loop has a turn. */
const LONGEST_NAP_MS = 0.25;
/** Naps between polls of the device. */
const POLL_NAP_MS = 0.1;
/** By how much a nap may overrun. */
const NAP_OVERRUN_MS = 0.06;
/** Timers fire up to a millisecond early, and late when the loop is busy: they are for longer waits. */
const LEAST_TIMER_MS = 2;
/** Turns of the event loop in which data that is there already arrives. */
const ARRIVAL_TURNS = 2;

/** True where waiting for the device polls it from the event loop, so that it pays to look late and seldom. */
export const isPolled = nap !== undefined;

/** Sleeps until a time of `performance.now()`; the event loop has a turn every quarter of a millisecond. */
export async function sleepUntil(time: number): Promise<void> {
  for (let left = time - performance.now(); left > 0; left = time - performance.now()) {
    if (left >= LEAST_TIMER_MS) await new Promise((resolve) => setTimeout(resolve, Math.floor(left) - 1));
    else {
      nap?.(Math.min(LONGEST_NAP_MS, Math.max(0, left - NAP_OVERRUN_MS)));
      await yieldToEventLoop();
    }
  }
}

/**
 * Waits for a promise of the device with few polls: between turns of the event loop this thread naps.
 * Resolves to whether the promise was pending still when it was first looked at.
 */
export async function waitWithFewPolls(answer: Promise<void>): Promise<boolean> {
  let isPending = true;
  const end = () => {
    isPending = false;
  };
  answer.then(end, end);
  for (let turn = 0; turn < ARRIVAL_TURNS && isPending; turn++) await yieldToEventLoop();
  const wasPending = isPending;
  while (isPending) {
    nap?.(POLL_NAP_MS);
    await yieldToEventLoop();
  }
  await answer;
  return wasPending;
}
