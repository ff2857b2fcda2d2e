/** The rounds of a search, on an engine of four tokens whose times and divergences are known. */
import { expect, it } from "vitest";
import type { Engine } from "../../src/node/index.ts";
import { Pace } from "./pace.ts";
import { type SearchOptions, searchSettings } from "./search.ts";

const [PREFIX, STEPS] = [100, 32];
const text = { tokenIds: Array.from({ length: PREFIX + STEPS }, () => 0), from: PREFIX };
/** Divergence of a setting, in the logit of a token; share of the cache that it reads. */
type Facts = (spec: string) => { readonly shift: number; readonly read: number };

interface Call {
  readonly specs: readonly string[];
}

/** decodeMs: of one row of a step */
function fakeEngine(facts: Facts, decodeMs = 0) {
  const calls: Call[] = [];
  const engine: Pick<Engine, "score" | "scoreEach"> = {
    score: () => Promise.reject(new Error("key-sketch is not traced")),
    scoreEach: async ({ attentions, tokenIds, from, onLogits }) => {
      const specs = attentions.map(String);
      calls.push({ specs });
      for (let position = from; position < tokenIds.length; position++)
        for (const [i, spec] of specs.entries())
          onLogits?.(i, position, Float32Array.of(spec === "full" ? 0 : facts(spec).shift, 0, 0, 0));
      const steps = tokenIds.length - from;
      return specs.map((spec) => ({
        logProbs: new Float32Array(steps),
        attendedFraction: spec === "full" ? 1 : facts(spec).read,
        attention: { name: "", settings: {} },
        timings: { prefillMs: 1, decodeMs: decodeMs * specs.length * steps, msPerToken: 0 },
        notes: [],
      }));
    },
  };
  return { engine, calls };
}

function optionsOf(change: Partial<SearchOptions> = {}): SearchOptions {
  return {
    candidates: {
      ...{ policy: "key-sketch", tokenBudget: 64, globalLayers: [0, 1, 2], numLayers: 3, numKvHeads: 1 },
    },
    ...{ texts: [text, text, text], maxRead: 1, tolerance: 0 },
    ...{ pace: new Pace(Number.POSITIVE_INFINITY), signal: new AbortController().signal },
    ...change,
  };
}

const budgetOf = (spec: string) => Number(/budget=(\d+)/.exec(spec)?.[1]);
/** A larger budget is nearer and dearer, up to 32 tokens; a recency share of a half makes up for a smaller one. */
const facts: Facts = (spec) => ({
  shift: spec.includes("recency=0.5") || budgetOf(spec) >= 32 ? 0.01 : 1,
  read: budgetOf(spec) / 64,
});

it("measures all settings on the first text, and the best with those near them on the others", async () => {
  const { engine, calls } = fakeEngine(facts);
  const search = await searchSettings(engine, optionsOf());
  expect(calls).toHaveLength(3);
  expect(calls.every(({ specs }) => specs[0] === "full")).toBe(true);
  expect(search.first).toHaveLength((calls[0]?.specs.length ?? 0) - 1);
  expect(calls[1]?.specs.some((spec) => spec.includes("recency="))).toBe(true);
  expect(calls[2]?.specs.length).toBeLessThanOrEqual(6);
  expect(search.chosen.steps).toBe(2 * STEPS);
  expect(budgetOf(search.chosen.spec)).toBe(32);
  expect(search.chosen.divergence).toBeGreaterThan(0);
  expect([search.leftOut, search.confidence]).toEqual([[], 1]);
});

it("leaves out what reads more than allowed, unless nothing else is there", async () => {
  const { engine } = fakeEngine(facts);
  const within = await searchSettings(engine, optionsOf({ maxRead: 0.4 }));
  expect(within.finalists.every(({ attendedFraction }) => attendedFraction <= 0.4)).toBe(true);
  const none = await searchSettings(engine, optionsOf({ maxRead: 0.01 }));
  expect(none.chosen.attendedFraction).toBe(Math.min(...none.first.map((one) => one.attendedFraction)));
});

it("takes the cheapest within the tolerance", async () => {
  const { engine } = fakeEngine(facts);
  const { chosen, first } = await searchSettings(engine, optionsOf({ tolerance: 1 }));
  expect(chosen.attendedFraction).toBe(Math.min(...first.map((one) => one.attendedFraction)));
});

it("says what it left out when the time does not suffice, and chooses from what it has", async () => {
  // A row takes 32 × 100 ms; a round may take half of what is left of 60 s.
  const { engine, calls } = fakeEngine(facts, 100);
  const pace = new Pace(1);
  pace.took({ prefillMs: 1, decodeMs: 100 }, { tokens: 1000, rows: 1 });
  const search = await searchSettings(engine, optionsOf({ pace }));
  expect(search.leftOut[0]).toMatch(/^\d+ settings of the first round$/);
  expect((calls[0]?.specs.length ?? 0) - 1).toBe(8);
  expect(search.first.length).toBeLessThan(15);
  expect(search.first.map(({ spec }) => spec)).toContain(search.chosen.spec.replace(/,recency.*/, ""));
  await expect(searchSettings(engine, optionsOf({ pace: paceWithout() }))).rejects.toThrow(
    /give more --minutes/,
  );
});

it("chooses from the first text if there is no time for another", async () => {
  let now = 0;
  const pace = new Pace(1, () => now);
  const { engine, calls } = fakeEngine(facts, 1);
  const search = await searchSettings(engine, {
    ...optionsOf({ pace }),
    onRound: () => {
      now += 59_990;
    },
  });
  expect(calls).toHaveLength(1);
  expect(search.leftOut).toContain("texts 2 to 3");
  expect(search.chosen.steps).toBe(STEPS);
});

function paceWithout(): Pace {
  const pace = new Pace(0.001);
  pace.took({ prefillMs: 1, decodeMs: 100 }, { tokens: 1000, rows: 1 });
  return pace;
}
