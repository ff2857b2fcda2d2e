/** Biases and masks of rows on every backend: against the distribution by brute force. */
import { describe, expect, it } from "vitest";
import { maskWords } from "../../src/backend/adjust-logits.ts";
import { NO_TOKEN, type SamplingParams, type SamplingRow } from "../../src/backend/backend.ts";
import { ShapeError } from "../../src/base/errors.ts";
import { hashUnit } from "../../src/base/random.ts";
import { BACKENDS } from "./backend-table.ts";
import { samplingDistribution } from "./brute-force.ts";
import { trialsOf } from "./open-trials.ts";
import { Random } from "./random-weights.ts";
import type { Trial } from "./trial.ts";

const GREEDY: SamplingParams = {
  ...{ temperature: 0, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1 },
  seed: 1,
};
const BANNED = Number.NEGATIVE_INFINITY;

/** The mask of the tokens that `isAllowed` accepts. Bits past the vocabulary are 1, and count for nothing. */
function maskOf(vocabSize: number, isAllowed: (id: number) => boolean): Uint32Array {
  const mask = new Uint32Array(maskWords(vocabSize)).fill(0xffffffff);
  for (let id = 0; id < vocabSize; id++) if (!isAllowed(id)) mask[id >>> 5] &= ~(1 << (id & 31));
  return mask;
}

/** Samples rows of logits; the params are greedy unless a row says otherwise. */
async function draw(
  trial: Trial,
  rows: readonly (Partial<SamplingRow> & { readonly logits: ArrayLike<number> })[],
): Promise<number[]> {
  const { vocabSize } = trial.backend.model;
  const tensor = trial.tensor("f32", 8, vocabSize);
  const values = new Float32Array(rows.length * vocabSize);
  for (const [i, { logits }] of rows.entries()) values.set(logits, i * vocabSize);
  trial.backend.write(tensor, values);
  const sample = trial.backend.sample(
    tensor,
    rows.map(({ logits, ...row }) => ({ params: GREEDY, sampleIndex: 0, seenTokens: [], ...row })),
  );
  return [...(await sample.tokens())];
}

describe.each(BACKENDS)("$name", (row) => {
  const { cases } = row;
  const openTrial = trialsOf(row);
  const vocabSize = 45;

  it("a bias is added to the logits of its tokens in its row alone; -Infinity bans, +100 wins", async () => {
    const trial = await openTrial({ vocabSize });
    const logits = new Float32Array(vocabSize).fill(-4);
    logits.set([3, 2.5, 2]);
    const tokens = await draw(trial, [
      { logits },
      { logits, bias: { ids: [0, 44], values: [-1, 5] } },
      { logits, bias: { ids: [44, 0], values: [100, 6] } },
      { logits, bias: { ids: [1, 0], values: [BANNED, BANNED] } },
      { logits },
      { logits, bias: { ids: [], values: [] } },
    ]);
    expect(tokens).toEqual([0, 1, 44, 2, 0, 0]);
  });

  it("the repetition penalty comes first, then the bias, then the mask", async () => {
    const trial = await openTrial({ vocabSize });
    const logits = new Float32Array(vocabSize).fill(-9);
    logits.set([4, 0, -0.5]);
    const params = { ...GREEDY, repetitionPenalty: 2 };
    // 4 / 2 - 3 = -1 is below 0; (4 - 3) / 2 would be above
    const changed = { logits, params, seenTokens: [0], bias: { ids: [0], values: [-3] } };
    const tokens = await draw(trial, [
      changed,
      { ...changed, mask: maskOf(vocabSize, (id) => id !== 1) },
      { ...changed, mask: maskOf(vocabSize, (id) => id === 0 || id > 30) },
      // a bias allows nothing that the mask leaves out
      { ...changed, bias: { ids: [9], values: [100] }, mask: maskOf(vocabSize, (id) => id !== 9) },
    ]);
    expect(tokens).toEqual([1, 2, 0, 0]);
  });

  it("a mask leaves its tokens in every word of the vocabulary, beside rows without one", async () => {
    const trial = await openTrial({ vocabSize });
    const logits = Float32Array.from({ length: vocabSize }, (_, id) => -id);
    const only = [0, 31, 32, 44];
    const rows = only.map((token) => ({ logits, mask: maskOf(vocabSize, (id) => id === token) }));
    expect(await draw(trial, [...rows, { logits }, { logits, mask: maskOf(vocabSize, () => true) }])).toEqual(
      [...only, 0, 0],
    );
  });

  it("a NaN or +Infinity that a bias or a mask leaves out still gives NO_TOKEN, and so does a row without tokens", async () => {
    const trial = await openTrial({ vocabSize });
    const good = new Float32Array(vocabSize).fill(1, 7, 8);
    const spoiled = (value: number) => good.slice().fill(value, 40, 41);
    const mask = maskOf(vocabSize, (id) => id !== 40);
    const bias = { ids: [40], values: [BANNED] };
    for (const temperature of [0, 1]) {
      const params = { ...GREEDY, temperature, topK: 1 };
      const rows = [
        { logits: good, mask, bias },
        { logits: spoiled(Number.NaN), mask },
        { logits: spoiled(Number.POSITIVE_INFINITY), mask },
        { logits: spoiled(Number.NaN), bias },
        { logits: spoiled(BANNED), bias },
        { logits: good, mask: maskOf(vocabSize, () => false) },
        { logits: good, mask: maskOf(vocabSize, (id) => id === 7), bias: { ids: [7], values: [BANNED] } },
        { logits: good },
      ];
      expect(
        await draw(
          trial,
          rows.map((one) => ({ ...one, params })),
        ),
      ).toEqual([...[7, NO_TOKEN, NO_TOKEN, NO_TOKEN, 7, NO_TOKEN], ...[NO_TOKEN, 7]]);
    }
  });

  it.each<[number, number, Partial<SamplingParams>]>([
    [45, 2, { temperature: 1 }],
    [45, 2, { temperature: 0.7, topK: 5, repetitionPenalty: 1.3 }],
    [6000, 1, { temperature: 1 }],
    [6000, 1, { temperature: 0.8, topK: 20, topP: 0.9 }],
    [6000, 0.01, { temperature: 1, topP: 0.95, minP: 0.01, repetitionPenalty: 1.1 }],
  ])("samples of %d logits (deviation %d) under biases and masks by %j follow the definition", async (size, deviation, some) => {
    const trial = await openTrial({ vocabSize: size });
    const params = { ...GREEDY, ...some };
    for (let round = 0; round < (cases ? 1 : 6); round++) {
      const random = new Random(20 + round);
      const rows = Array.from({ length: 8 }, (_, i) => {
        const logits = random.row(size).map((value) => Math.fround(value * deviation));
        const ids = random.subset(size, 12);
        const values = [...random.row(12)].map((value, n) => (n % 5 === 4 ? BANNED : Math.fround(value * 4)));
        const allowed = new Set(random.subset(size, size >> 1));
        return {
          ...{ logits, params, sampleIndex: 8 * round + i, seenTokens: random.subset(size, 9), allowed },
          ...(i % 4 !== 0 && { bias: { ids, values } }),
          ...(i % 4 !== 1 && { mask: maskOf(size, (id) => allowed.has(id)) }),
        };
      });
      const tokens = await draw(trial, rows);
      for (const [i, { logits, seenTokens, bias, mask, allowed, sampleIndex }] of rows.entries()) {
        const order = [
          ...samplingDistribution(logits, params, params.repetitionPenalty === 1 ? [] : seenTokens, {
            ...(bias && { bias: new Map(bias.ids.map((id, n) => [id, bias.values[n] ?? 0])) }),
            ...(mask && { allowed }),
          }),
        ];
        const at = order.findIndex(([token]) => token === tokens[i]);
        expect(at, `row ${i}: token ${tokens[i]}`).toBeGreaterThanOrEqual(0);
        const before = order.slice(0, at).reduce((sum, [, probability]) => sum + probability, 0);
        const wanted = hashUnit(params.seed, sampleIndex, 0x5a11, 0);
        expect(wanted).toBeGreaterThan(before - 1e-4);
        expect(wanted).toBeLessThan(before + (order[at]?.[1] ?? 0) + 1e-4);
      }
    }
  });

  it("a mask or a bias of another vocabulary is a ShapeError", async () => {
    const trial = await openTrial({ vocabSize });
    const logits = new Float32Array(vocabSize);
    for (const [wrong, message] of [
      [{ mask: new Uint32Array(1) }, "a mask of 1 words; 45 tokens need 2"],
      [{ bias: { ids: [45], values: [1] } }, "a bias of token 45 in a vocabulary of 45"],
      [{ bias: { ids: [-1], values: [1] } }, "a bias of token -1"],
      [{ bias: { ids: [1, 2], values: [1] } }, "a bias of 2 tokens has 1 values"],
      [{ bias: { ids: [1], values: [Number.NaN] } }, "a bias of NaN for token 1"],
    ] as const) {
      const failing = draw(trial, [{ logits, ...wrong }]);
      await expect(failing).rejects.toThrow(ShapeError);
      await expect(failing).rejects.toThrow(message);
    }
    expect(await draw(trial, [{ logits }])).toEqual([0]);
  });
});
