/** Settings race on short problems of the bundled model, on the CPU. */
import { afterAll, beforeAll, expect, it } from "vitest";
import { type Engine, openEngine } from "../../src/node/index.ts";
import { repositoryPath } from "../../test/golden/open-fixture.ts";
import { Pace } from "./pace.ts";
import { bestRunner, type Raced, raceProblems } from "./race.ts";
import { makeForcedProblems } from "./texts.ts";

const signal = new AbortController().signal;
let engine: Engine;
beforeAll(async () => {
  engine = await openEngine({
    model: repositoryPath("models/pico-reasoner"),
    backend: "wasm",
    contextLength: 1024,
  });
});
afterAll(() => engine.close());

const ALL = "key-sketch:budget=400,dense-layers=1";
const BLIND = "streaming-llm:budget=32";

function blocksOf(count: number) {
  const problems = makeForcedProblems(engine.tokenizer, ["variables"], { length: 320, count, seed: 5 });
  return problems.map((problem) => [[problem]]);
}

it("counts problems that full attention solves and a setting does not, and drops the setting", async () => {
  const rounds: number[] = [];
  const race = await raceProblems(engine, blocksOf(4), {
    ...{ specs: [BLIND, ALL], maxRead: 1, pace: new Pace(Number.POSITIVE_INFINITY), signal },
    onBlock: (_, settings) => rounds.push(settings),
  });
  expect(race.full).toMatchObject({ of: 4, solved: 4, lost: 0, attendedFraction: 1 });
  const [blind, all] = race.settings;
  expect(all).toMatchObject({ solved: 4, lost: 0, isOut: false });
  // Two lost are one too many.
  expect(blind).toMatchObject({ solved: 0, lost: 2, of: 2, isOut: true });
  expect(rounds).toEqual([2, 2, 1, 1]);
  expect(blind?.attendedFraction).toBeLessThan(0.3);
  expect(Math.min(...(blind?.extraLosses ?? []))).toBeGreaterThan(0.01);
  expect(Math.max(...(all?.extraLosses ?? []))).toBeLessThan(0.001);
  expect(bestRunner(race.settings, 0)?.spec).toBe(ALL);
});

it("drops a setting that reads too much, unless there is no cheaper one", async () => {
  const options = { maxRead: 0.2, pace: new Pace(Number.POSITIVE_INFINITY), signal };
  const both = await raceProblems(engine, blocksOf(1), { ...options, specs: [BLIND, ALL] });
  expect(both.settings.map(({ isOut }) => isOut)).toEqual([false, true]);
  const alone = await raceProblems(engine, blocksOf(1), { ...options, specs: [ALL] });
  expect(alone.settings[0]?.isOut).toBe(false);
});

it("ends in time, and says how much it left out", async () => {
  const { full, leftOut } = await raceProblems(engine, blocksOf(3), {
    ...{ specs: [ALL], maxRead: 1, pace: new Pace(0), signal },
  });
  expect([full.of, leftOut]).toEqual([1, 2]);
});

const raced = (
  spec: string,
  lost: number,
  attendedFraction: number,
  extraLosses: readonly number[],
): Raced => ({
  ...{
    spec,
    lost,
    attendedFraction,
    mostRead: attendedFraction,
    extraLosses,
    isOut: spec === "left",
    solved: 9 - lost,
    of: 9,
  },
});

it("prefers fewer lost, then surer ones by more than chance, then fewer bytes", () => {
  const settings = [
    raced("cheap", 1, 0.1, [0, 0, 0, 0]),
    raced("lucky", 0, 0.2, [0.02, 0.03, 0.02, 0.03]),
    raced("dear", 0, 0.4, [0.001, 0.002, 0.001, 0.002]),
    raced("good", 0, 0.3, [0.002, 0.001, 0.002, 0.0015]),
    raced("left", 0, 0.05, [0, 0, 0, 0]),
  ];
  expect(bestRunner(settings, 0)?.spec).toBe("good");
  expect(bestRunner(settings.slice(0, 2), 0)?.spec).toBe("lucky");
  expect(bestRunner([], 0)).toBeUndefined();
  expect(bestRunner(settings, undefined)?.spec).toBe("dear");
});
