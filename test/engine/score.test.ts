/** Probabilities of forced tokens, on every backend: against dense logits, brute force and generation. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { isSparseAt } from "../../src/attention/budget.ts";
import { parseAttention } from "../../src/attention/spec.ts";
import type { GenerationEngine } from "../../src/engine/engine.ts";
import { BACKENDS } from "../conformance/backend-table.ts";
import { POLICIES, type PolicyRow } from "../conformance/policy-definitions.ts";
import { loadPlainWeights, plainLogProbs } from "./plain-model.ts";
import { openTiny } from "./tiny-engine.ts";

const TOKENS = Array.from({ length: 61 }, (_, i) => 3 + ((i * 53) % 300));
const FROM = 37;
const PAGE = 4;
/** Pages of the tokens under `n` policies: those of the prefill that all share, and of the rest of each. */
const pagesOf = (n: number) => 24 / PAGE + n * ((60 - 24) / PAGE);

const SPECS = new Set([
  ...["full", "less-is-more:budget=24,layers=0", "oracle-top-k:budget=24", "streaming-llm:budget=24"],
  ...["quest:budget=8,page=8,dense-layers=0", "quest:budget=30,page=8,dense-layers=1"],
  "random-tokens:budget=24,seed=5",
]);
const ROWS = POLICIES.filter(({ spec }) => SPECS.has(spec));
/** One dense, one that reuses a selection, one with key bounds: SwiftShader compiles a policy's kernels for seconds. */
const FEW = ["full", "less-is-more:budget=24,layers=0", "quest:budget=30,page=8,dense-layers=1"];

const weights = await loadPlainWeights();

/** Brute force sums in f64; an f16 cache rounds a number in some thousand to the other side. */
const BOUNDS = { f32: 2e-5, f16: 2e-3, q8: 0.1 } as const;

function logProb(logits: Float32Array, token: number): number {
  const largest = logits.reduce((a, b) => Math.max(a, b));
  return logits[token] - largest - Math.log(logits.reduce((sum, x) => sum + Math.exp(x - largest), 0));
}

const bestOf = (logits: Float32Array) => logits.indexOf(logits.reduce((a, b) => Math.max(a, b)));

describe.each(BACKENDS)("$name", ({ name, open, cases, cacheDtype = "f32" }) => {
  const isWebGpu = name.startsWith("webgpu");
  const isSlow = cases !== undefined && cacheDtype !== "f32";
  const rows = isSlow ? ROWS.filter(({ spec }) => FEW.includes(spec)) : ROWS;
  const specs = rows.map(({ spec }) => spec);
  const attentions = isSlow ? specs : [...specs, "full"].slice(0, 7);
  const bound = BOUNDS[cacheDtype];
  let engine: GenerationEngine;
  beforeAll(async () => {
    // the pool holds the policies of the largest call only if they share the pages of the prefill
    const sizes = { maxPages: pagesOf(attentions.length), maxBatchSequences: isSlow ? 2 : 4 };
    engine = await openTiny(open, { sizes });
  });
  afterAll(() => engine.close());

  test(`under full attention they are those of dense logits within ${bound}`, async () => {
    const logits = await engine.logits(TOKENS);
    const vocabSize = logits.length / TOKENS.length;
    const { logProbs, attendedFraction } = await engine.score({ tokenIds: TOKENS, from: 1 });
    expect([logProbs.length, attendedFraction]).toEqual([60, 1]);
    for (let position = 1; position < TOKENS.length; position++) {
      const row = logits.subarray((position - 1) * vocabSize, position * vocabSize);
      expect(Math.abs(logProbs[position - 1] - logProb(row, TOKENS[position] ?? 0))).toBeLessThan(bound);
    }
  });

  test.each(rows)(`under $spec they are those of brute force within ${bound}`, async (row: PolicyRow) => {
    const { tokenBudget: budget } = parseAttention(row.spec);
    expect(isSparseAt(parseAttention(row.spec), FROM)).toBe(row.spec !== "full");
    const expected = plainLogProbs(weights, { tokens: TOKENS, from: FROM }, { ...row, budget }, cacheDtype);
    const { logProbs } = await engine.score({ tokenIds: TOKENS, from: FROM, attention: row.spec });
    expect(logProbs.length).toBe(TOKENS.length - FROM);
    for (const [i, value] of expected.entries()) expect(Math.abs(logProbs[i] - value)).toBeLessThan(bound);
  });

  test.each(
    specs,
  )("under %s the likeliest token is the one that generate takes, and it reads as much", async (attention) => {
    const prompt = TOKENS.slice(0, FROM);
    const generated = await engine
      .generate({ tokenIds: prompt, maxTokens: 20, temperature: 0, attention })
      .result();
    const best: number[] = [];
    const scored = await engine.score({
      tokenIds: [...prompt, ...generated.tokenIds],
      from: FROM,
      attention,
      onLogits: (position, logits) => {
        expect(position).toBe(FROM + best.length);
        best.push(bestOf(logits));
      },
    });
    expect(best).toEqual(generated.tokenIds);
    expect({ ...scored.attention, attendedFraction: scored.attendedFraction }).toEqual(generated.attention);
  });

  // WebGPU has other kernels for other numbers of rows
  test(`each of several policies scores as it does alone ${isWebGpu ? `within ${bound}` : "to the bit"}, in several batches, twice`, async () => {
    const alone: Float32Array[] = [];
    for (const attention of attentions)
      alone.push((await engine.score({ tokenIds: TOKENS, from: FROM, attention })).logProbs);
    for (let call = 0; call < 2; call++) {
      const seen: number[][] = [];
      const together = await engine.scoreEach({
        tokenIds: TOKENS,
        from: FROM,
        attentions,
        onLogits: (index, position, logits) => seen.push([position, index, logits.length]),
      });
      const places = TOKENS.slice(FROM).flatMap((_, i) =>
        attentions.map((_, index) => [FROM + i, index, 320]),
      );
      expect(seen).toEqual(places);
      for (const [i, { logProbs, attention }] of together.entries()) {
        expect(attention.name).toBe(parseAttention(attentions[i] ?? "").name);
        if (!isWebGpu) expect(logProbs, attentions[i]).toEqual(alone[i]);
        for (const [t, value] of logProbs.entries())
          expect(Math.abs(value - (alone[i]?.[t] ?? Number.NaN))).toBeLessThan(bound);
      }
    }
  });
});
