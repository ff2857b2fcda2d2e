/** Times at which the host looks for a step's tokens, on a simulated device that runs its work in order. */
import { expect, it } from "vitest";
import { ArrivalEstimates } from "../../src/backend/webgpu/arrival-estimates.ts";
import { Random } from "../conformance/random-weights.ts";

/** A poll every so many milliseconds, as naps allow. */
const POLL_MS = 0.17;
const HOST_MS = 0.4;

interface Outcome {
  /** Milliseconds from when the data was there to when it was seen, and from the first look to then. */
  readonly late: readonly number[];
  readonly polled: readonly number[];
  /** Milliseconds that the device stood idle. */
  readonly idle: number;
}

/** Steps of these durations, each recorded while the one before it runs. */
function run(estimates: ArrivalEstimates, durations: readonly number[], kindOf = (_: number) => 1): Outcome {
  let now = 0;
  let deviceFree = 0;
  let idle = 0;
  const late: number[] = [];
  const polled: number[] = [];
  const done: number[] = [];
  const submissions = durations.map((_, i) => ({ at: 0, kind: kindOf(i) }));
  const submit = (i: number) => {
    now += HOST_MS;
    submissions[i].at = now;
    if (i > 0) idle += Math.max(0, now - deviceFree);
    deviceFree = Math.max(deviceFree, now) + durations[i];
    done[i] = deviceFree;
  };
  submit(0);
  for (let i = 0; i < durations.length; i++) {
    if (i + 1 < durations.length) submit(i + 1);
    now = Math.max(now, estimates.lookAt(submissions[i]) ?? now);
    const wasPending = now < done[i];
    const first = now;
    while (now < done[i]) now += POLL_MS;
    polled.push(now - first);
    late.push(now - done[i]);
    estimates.arrived(submissions[i], now, wasPending);
  }
  return { late, polled, idle };
}

const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;
const jittered = (ms: number, count: number, random = new Random(7)) =>
  Array.from({ length: count }, () => ms * (0.99 + 0.02 * random.unit()));

it.each([
  1.5, 5, 9,
])("steps of %d ms give or take one percent: looked for shortly before, seen in time, no idle device", (ms) => {
  const { late, polled, idle } = run(new ArrivalEstimates(), jittered(ms, 500));
  expect(mean(polled.slice(3))).toBeLessThan(0.25 + ms * 0.04 + POLL_MS);
  expect(mean(late.slice(3))).toBeLessThan(POLL_MS);
  expect(Math.max(...late)).toBeLessThan(ms * 0.1 + POLL_MS);
  expect(idle).toBe(0);
});

it("the first two steps of a kind are polled from the start, later ones not", () => {
  const estimates = new ArrivalEstimates();
  const { polled } = run(estimates, [5, 5, 5, 5, 9, 9, 9, 9], (i) => (i < 4 ? 1 : 8));
  for (const i of [0, 1, 4, 5]) expect(polled[i], `step ${i}`).toBeGreaterThan(4);
  for (const i of [2, 3, 6, 7]) expect(polled[i], `step ${i}`).toBeLessThan(3);
});

it("a first step of two seconds, as cold kernels take, makes none after it late", () => {
  const { late } = run(new ArrivalEstimates(), [2000, ...jittered(5, 20)]);
  expect(Math.max(...late)).toBeLessThan(0.6);
});

it("after chunks of two seconds one of a tenth is seen within 10 ms", () => {
  const { late } = run(new ArrivalEstimates(), [2000, 2000, 2000, 100, 5]);
  expect(Math.max(...late)).toBeLessThan(10.1);
});

it("steps that take turns at 5 and 7 ms: never later than the next poll, most of the time slept", () => {
  const durations = Array.from({ length: 400 }, (_, i) => (i % 2 === 0 ? 5 : 7));
  const { late, polled, idle } = run(new ArrivalEstimates(), durations);
  expect(Math.max(...late)).toBeLessThan(0.6);
  expect(mean(polled)).toBeLessThan(1.7);
  expect(idle).toBe(0);
});

it("steps that become twice as fast are caught up with within 12 steps, and the device idles at most for those", () => {
  const estimates = new ArrivalEstimates();
  run(estimates, jittered(6, 50));
  const { late, idle } = run(new ArrivalEstimates(), [...jittered(6, 50), ...jittered(3, 100)]);
  expect(Math.max(...late.slice(62))).toBeLessThan(0.6);
  expect(idle).toBeLessThan(3);
});

it("one step of 40 ms among many of 5 delays none of those after it", () => {
  const durations = jittered(5, 100);
  durations[50] = 40;
  const { late, idle } = run(new ArrivalEstimates(), durations);
  expect(Math.max(...late.slice(51))).toBeLessThan(5);
  expect(mean(late.slice(60))).toBeLessThan(POLL_MS);
  expect(idle).toBeLessThan(5);
});
