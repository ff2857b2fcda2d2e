import { parseAttention } from "lessismore";
import { expect, test } from "vitest";
import { ATTENTION_KINDS, BUDGETS, DEFAULT_ATTENTION, faultOf, specOf } from "./attention-choice.ts";

test.each(ATTENTION_KINDS)("$name has a spec that the package reads, with the budget of the slider", ({
  name,
  hasBudget,
}) => {
  const choice = { ...DEFAULT_ATTENTION, kind: name, budget: BUDGETS.min };
  expect(faultOf(choice)).toBeUndefined();
  const policy = parseAttention(specOf(choice));
  expect(policy.name).toBe(name);
  if (hasBudget) expect(policy.settings.budget).toBe(BUDGETS.min);
});

test("a spec of a person's own is passed on, and its fault is told", () => {
  const choice = { ...DEFAULT_ATTENTION, kind: "spec", spec: " less-is-more:budget=128,layers=2+5 " };
  expect(specOf(choice)).toBe("less-is-more:budget=128,layers=2+5");
  expect(faultOf(choice)).toBeUndefined();
  expect(faultOf({ ...choice, spec: "more-is-more" })).toContain("unknown attention");
});
