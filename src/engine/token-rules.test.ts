import { expect, test } from "vitest";
import { type TokenRuleOptions, TokenRules } from "./token-rules.ts";

const NONE: TokenRuleOptions = {
  ...{ presencePenalty: 0, frequencyPenalty: 0, logitBias: new Map(), endTokenIds: [], minTokens: 0 },
  vocabSize: 40,
};
const params = { temperature: 0, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1, seed: 1 };

/** The biases of the token of that index, by id. */
function biases(rules: TokenRules, sampleIndex: number): Record<number, number> {
  const { bias } = rules.applyTo({ params, sampleIndex, seenTokens: [] }, false);
  return Object.fromEntries(bias?.ids.map((id, i) => [id, bias.values[i]]) ?? []);
}

test("penalties count tokens of the model and of the engine alike", () => {
  const rules = new TokenRules({
    ...NONE,
    presencePenalty: 0.5,
    frequencyPenalty: 0.25,
    logitBias: new Map([[9, 3]]),
  });
  expect(biases(rules, 0)).toEqual({ 9: 3 });
  rules.accept(9, 0, false);
  rules.count(4);
  rules.count(9);
  expect(biases(rules, 3)).toEqual({ 9: 2, 4: -0.75 });
});

test("a token that ends the output is banned before minTokens, and has its own bias after", () => {
  const rules = new TokenRules({ ...NONE, minTokens: 2, endTokenIds: [2, 9], logitBias: new Map([[9, 3]]) });
  for (const index of [0, 1]) expect(biases(rules, index)).toEqual({ 2: -Infinity, 9: -Infinity });
  expect(biases(rules, 2)).toEqual({ 2: 0, 9: 3 });
  const plain = new TokenRules({ ...NONE, minTokens: 1, endTokenIds: [2] });
  expect(plain.applyTo({ params, sampleIndex: 1, seenTokens: [] }, false).bias).toBeUndefined();
});

test("a constraint sees the answer alone, and lets the output begin with the marker that opens the reasoning", () => {
  const seen: number[] = [];
  const constraint = {
    fillMask: (mask: Uint32Array) => mask.fill(0).fill(1 << 3, 0, 1),
    accept: (id: number) => seen.push(id) > 0,
    isComplete: false,
    clone: () => constraint,
  };
  const rules = new TokenRules({ ...NONE, constraint, openingTokenId: 37 });
  const maskAt = (sampleIndex: number, isReasoning: boolean) => {
    const { mask } = rules.applyTo({ params, sampleIndex, seenTokens: [] }, isReasoning);
    return mask && [...mask];
  };
  expect(maskAt(0, false)).toEqual([8, 32]);
  rules.accept(37, 0, false);
  expect(maskAt(1, true)).toBeUndefined();
  rules.accept(5, 1, true);
  rules.count(6);
  expect(maskAt(3, false)).toEqual([8, 0]);
  rules.accept(3, 3, false);
  expect(seen).toEqual([3]);
});
