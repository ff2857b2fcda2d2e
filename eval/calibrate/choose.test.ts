import { expect, it } from "vitest";
import { chooseSetting, confidenceOf, keepBest, type Measured, standardErrorOf } from "./choose.ts";

const STEPS = 128;

/** A setting with a mean divergence, alternating around it by block of 16 steps. */
function setting(spec: string, read: number, nats: number, spread = 0): Measured {
  return {
    candidate: { spec },
    attendedFraction: read,
    nats: Array.from({ length: STEPS }, (_, i) => nats + (Math.floor(i / 16) % 2 === 0 ? spread : -spread)),
  };
}

const specOf = ({ candidate }: Measured) => candidate.spec;

it("takes the nearest setting if the cheaper ones are farther by more than chance", () => {
  const near = setting("near", 0.5, 0.01);
  const cheap = setting("cheap", 0.3, 0.02, 0.001);
  expect(specOf(chooseSetting([cheap, near], 0))).toBe("near");
  expect(confidenceOf([cheap, near], near, 0)).toBe(1);
});

it("takes the cheapest setting whose difference from the nearest may be chance", () => {
  const settings = [setting("near", 0.5, 0.01), setting("cheap", 0.3, 0.011, 0.01), setting("far", 0.2, 0.5)];
  expect(specOf(chooseSetting(settings, 0))).toBe("cheap");
});

it("takes the nearest setting without a tolerance", () => {
  const settings = [setting("near", 0.5, 0.01), setting("cheap", 0.3, 0.011, 0.01)];
  expect(specOf(chooseSetting(settings, undefined))).toBe("near");
});

it("compares the same steps: what is common to two settings is no chance", () => {
  const near = setting("near", 0.5, 0.1, 0.1);
  const cheap = { ...setting("cheap", 0.3, 0), nats: near.nats.map((nats) => nats + 0.001) };
  expect(specOf(chooseSetting([near, cheap], 0))).toBe("near");
});

it("takes the cheapest setting below the tolerance", () => {
  const settings = [setting("near", 0.5, 0.0001), setting("fine", 0.3, 0.0019), setting("far", 0.2, 0.0021)];
  expect(specOf(chooseSetting(settings, 0.002))).toBe("fine");
});

it("is unsure if resamples of the steps choose otherwise", () => {
  const [a, b] = [setting("a", 0.5, 0.01, 0.03), setting("b", 0.5, 0.012, -0.03)];
  const chosen = chooseSetting([a, b], 0);
  const confidence = confidenceOf([a, b], chosen, 0);
  expect(confidence).toBeGreaterThan(0.2);
  expect(confidence).toBeLessThan(0.95);
});

it("keeps settings that nothing beats in both bytes and divergence before near ones that cost more", () => {
  const settings = [
    setting("dear", 0.9, 0.001),
    setting("dearer", 1, 0.002),
    setting("mid", 0.5, 0.01),
    setting("cheap", 0.2, 0.1),
    setting("cheapest", 0.1, 0.9),
  ];
  expect(keepBest(settings, 3).map(specOf)).toEqual(["dear", "mid", "cheap"]);
  expect(keepBest(settings, 5)).toHaveLength(5);
  expect(keepBest(settings, 1).map(specOf)).toEqual(["dear"]);
});

it("takes standard errors from blocks of 16 steps", () => {
  // Means of blocks 0, 1, 0, 1: deviation 0.577, over the root of 4.
  const nats = Array.from({ length: 64 }, (_, i) => Math.floor(i / 16) % 2);
  expect(standardErrorOf(nats)).toBeCloseTo(Math.sqrt(1 / 3) / 2);
  expect(standardErrorOf([1, 2, 3])).toBeNaN();
});
