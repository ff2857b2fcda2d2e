/** Sampling on every backend: against the distribution by brute force. */
import { describe, expect, it } from "vitest";
import { NO_TOKEN, type SamplingParams } from "../../src/backend/backend.ts";
import { hashUnit } from "../../src/base/random.ts";
import { BACKENDS } from "./backend-table.ts";
import { samplingDistribution } from "./brute-force.ts";
import { trialsOf } from "./open-trials.ts";
import { Random } from "./random-weights.ts";
import type { Trial } from "./trial.ts";

const GREEDY: SamplingParams = {
  temperature: 0,
  topK: 0,
  topP: 1,
  minP: 0,
  repetitionPenalty: 1,
  seed: 1,
};

/** f32 by its bits. */
const ofBits = (bits: number) => new Float32Array(Uint32Array.of(bits).buffer);
const { POSITIVE_INFINITY: INF, NaN: NAN } = Number;

/** Rows that cannot be sampled: changes to a row of `size` finite logits. */
const UNDRAWABLE: readonly (readonly [string, (row: Float32Array, size: number) => void])[] = [
  ["NaN first", (row) => row.fill(NAN, 0, 1)],
  ["NaN last", (row, size) => row.fill(NAN, size - 1)],
  ["NaN in the middle", (row, size) => row.fill(NAN, size >> 1, (size >> 1) + 1)],
  ["a negative NaN", (row) => row.set(ofBits(0xffc00000), 5)],
  ["a NaN with a payload", (row) => row.set(ofBits(0xff812345), 6)],
  ["NaN beside masks", (row) => row.fill(-INF).fill(NAN, 7, 8)],
  ["NaN alone", (row) => row.fill(NAN)],
  ["an infinite logit", (row) => row.fill(INF, 3, 4)],
  ["infinite logits, one of them NaN", (row) => row.fill(INF).fill(NAN, 9, 10)],
  ["an infinite logit beside masks", (row) => row.fill(-INF).fill(INF, 2, 3)],
  ["masks alone", (row) => row.fill(-INF)],
];

/** Every kind of sampling parameters. */
const WAYS: readonly Partial<SamplingParams>[] = [
  {},
  { repetitionPenalty: 1.3 },
  { temperature: 1 },
  { temperature: 0.7, topK: 1 },
  { temperature: 0.7, topK: 5 },
  { temperature: 1, topP: 0.5 },
  { temperature: 1, minP: 0.2 },
  { temperature: 1, topK: 30, topP: 0.9, minP: 0.01, repetitionPenalty: 1.2 },
];

describe.each(BACKENDS)("$name", (row) => {
  const { cases } = row;
  const openTrial = trialsOf(row);

  describe("sample", () => {
    const vocabSize = 40;
    const numDraws = cases === "few" ? 480 : cases ? 960 : 4000;
    const values = (seed: number) => new Random(seed).row(vocabSize).map((value) => Math.fround(value * 2));

    it("greedy sampling returns the lowest id of the largest logit", async () => {
      const trial = await openTrial({ vocabSize });
      const logits = trial.tensor("f32", 8, vocabSize);
      const rows = [values(1), values(2).fill(9, 7, 12), new Float64Array(vocabSize), values(3)];
      rows[3].fill(Number.NEGATIVE_INFINITY, 0, 39);
      trial.backend.write(logits, Float32Array.from(rows.flatMap((row) => [...row])));
      const draw = trial.backend.sample(
        logits,
        rows.map(() => ({ params: GREEDY, sampleIndex: 0, seenTokens: [] })),
      );
      expect([...(await draw.tokens())]).toEqual([rows[0].indexOf(Math.max(...rows[0])), 7, 0, 39]);
    });

    it("the repetition penalty divides positive and multiplies negative logits of seen tokens, once", async () => {
      const trial = await openTrial({ vocabSize });
      const logits = trial.tensor("f32", 8, vocabSize);
      const row = new Float32Array(vocabSize).fill(-5);
      row.set([3, 2, -1]);
      const params = { ...GREEDY, repetitionPenalty: 1.4 };
      trial.backend.write(logits, Float32Array.from([...row, ...row, ...row]));
      const seen = [[], [0], [0, 0, 0]];
      const weak = trial.backend.sample(
        logits,
        seen.map((seenTokens) => ({ params, sampleIndex: 0, seenTokens })),
      );
      expect([...(await weak.tokens())]).toEqual([0, 0, 0]);
      trial.backend.write(logits, Float32Array.from([...row, ...row, ...row]));
      const more = [[1, 2], [0, 1], [0]];
      const strong = trial.backend.sample(
        logits,
        more.map((seenTokens) => ({
          params: { ...params, repetitionPenalty: 1.6 },
          sampleIndex: 0,
          seenTokens,
        })),
      );
      expect([...(await strong.tokens())]).toEqual([0, 0, 1]);
    });

    it.each<Partial<SamplingParams>>([
      { temperature: 1 },
      { temperature: 0.6, topP: 0.95 },
      { temperature: 0.7, topK: 5 },
      { temperature: 1.5, topK: 20, topP: 0.8, minP: 0.05 },
      { temperature: 1, minP: 0.3, repetitionPenalty: 1.3 },
    ])(`${numDraws} draws of %j follow the distribution, and a sample depends on (seed, sampleIndex) alone`, async (some) => {
      const trial = await openTrial({ vocabSize });
      const params = { ...GREEDY, ...some };
      const row = values(11);
      const logits = trial.tensor("f32", 8, vocabSize);
      const seenTokens = [3, 3, 8, 20];
      const expected = samplingDistribution(row, params, params.repetitionPenalty === 1 ? [] : seenTokens);
      const counts = new Map<number, number>();
      const draws: number[] = [];
      const batch = Float32Array.from(Array.from({ length: 8 }, () => [...row]).flat());
      for (let first = 0; first < numDraws; first += 8) {
        // written again, since sampling may apply the penalty in place
        trial.backend.write(logits, batch);
        const rows = Array.from({ length: 8 }, (_, i) => ({ params, sampleIndex: first + i, seenTokens }));
        const out = await trial.backend.sample(logits, rows).tokens();
        for (const id of out) counts.set(id, (counts.get(id) ?? 0) + 1);
        draws.push(...out);
      }
      expect([...counts.keys()].filter((id) => !expected.has(id))).toEqual([]);
      let chiSquared = 0;
      for (const [id, probability] of expected)
        chiSquared += ((counts.get(id) ?? 0) - numDraws * probability) ** 2 / (numDraws * probability);
      // chi-squared has mean n and variance 2n; the bound is six standard deviations
      const n = expected.size;
      expect(chiSquared).toBeLessThan(n + 6 * Math.sqrt(2 * n) + 10);
      trial.backend.write(logits, batch);
      const again = [numDraws - 1, 17, 0, 17].map((sampleIndex) => ({ params, sampleIndex, seenTokens }));
      const repeated = await trial.backend.sample(logits, again).tokens();
      expect([...repeated]).toEqual([draws[numDraws - 1], draws[17], draws[0], draws[17]]);
    });

    it.each<[string, number, Partial<SamplingParams>]>([
      ["flat", 0.01, { temperature: 1 }],
      ["flat", 0.01, { temperature: 1, topP: 0.9 }],
      ["flat", 0.01, { temperature: 1, minP: 0.97 }],
      ["flat", 0.01, { temperature: 0.5, topK: 3000, topP: 0.99 }],
      ["steep", 3, { temperature: 1 }],
      ["steep", 3, { temperature: 0.6, topK: 20, topP: 0.95 }],
      ["steep", 3, { temperature: 0.7, topP: 0.95, minP: 0.001 }],
      ["full of ties", 0, { temperature: 1, topK: 100 }],
    ])("samples of 6000 %s logits (deviation %d) by %j follow the definition", async (_, deviation, some) => {
      const size = 6000;
      const trial = await openTrial({ vocabSize: size });
      const params = { ...GREEDY, ...some };
      const row = new Random(5).row(size).map((value) => Math.fround(value * deviation));
      const logits = trial.tensor("f32", 8, size);
      const order = [...samplingDistribution(row, params, [])];
      trial.backend.write(logits, Float32Array.from(Array.from({ length: 8 }, () => [...row]).flat()));
      const rows = Array.from({ length: 8 }, (_, sampleIndex) => ({ params, sampleIndex, seenTokens: [] }));
      const out = await trial.backend.sample(logits, rows).tokens();
      for (const [draw, id] of out.entries()) {
        const at = order.findIndex(([token]) => token === id);
        const before = order.slice(0, at).reduce((sum, [, probability]) => sum + probability, 0);
        const wanted = hashUnit(params.seed, draw, 0x5a11, 0);
        // f32 sums may fall on the other side of a threshold
        expect(wanted).toBeGreaterThan(before - 1e-4);
        expect(wanted).toBeLessThan(before + order[at][1] + 1e-4);
      }
    });
  });

  describe("rows that cannot be sampled, and masks", () => {
    /** Samples each row with all parameters, beside a row that always gives token 4. */
    async function drawEachWay(trial: Trial, rows: readonly Float32Array[]): Promise<number[][]> {
      const { vocabSize } = trial.backend.model;
      const logits = trial.tensor("f32", 8, vocabSize);
      const sure = new Float32Array(vocabSize).fill(-40).fill(60, 4, 5);
      const drawn: number[][] = [];
      for (const way of WAYS) {
        const params = { ...GREEDY, ...way };
        const tokens: number[] = [];
        for (let first = 0; first < rows.length; first += 6) {
          const batch = [sure, ...rows.slice(first, first + 6), sure];
          const values = new Float32Array(batch.length * vocabSize);
          for (const [i, row] of batch.entries()) values.set(row, i * vocabSize);
          trial.backend.write(logits, values);
          const seenTokens = [0, 4, 11];
          const draw = trial.backend.sample(
            logits,
            batch.map((_, i) => ({ params, sampleIndex: first + i, seenTokens })),
          );
          const out = [...(await draw.tokens())];
          expect([out.shift(), out.pop()], `neighbours, ${JSON.stringify(way)}`).toEqual([4, 4]);
          tokens.push(...out);
        }
        drawn.push(tokens);
      }
      return drawn;
    }

    it.each([
      ["few logits", 40, 1],
      ["many logits", 6000, 3],
      ["many flat logits", 6000, 0.001],
    ])("NaN, +Infinity or only masks among %s give NO_TOKEN for all parameters", async (_, size, deviation) => {
      const trial = await openTrial({ vocabSize: size });
      const rows = UNDRAWABLE.map(([, spoil]) => {
        const row = Float32Array.from(new Random(4).row(size), (value) => value * deviation);
        spoil(row, size);
        return row;
      });
      const drawn = await drawEachWay(trial, rows);
      for (const [i, [name]] of UNDRAWABLE.entries())
        expect(
          drawn.map((tokens) => tokens[i]),
          name,
        ).toEqual(WAYS.map(() => NO_TOKEN));
    });

    it("one NaN among 150,000 logits gives NO_TOKEN at any position", async () => {
      const vocabSize = 150_001;
      const trial = await openTrial({ vocabSize, maxBatchSequences: 8 });
      const row = Float32Array.from({ length: vocabSize }, (_, id) => hashUnit(1, id, 0, 0));
      const rows = [0, 1, 77_777, vocabSize - 2, vocabSize - 1].map((at) =>
        row.slice().fill(NAN, at, at + 1),
      );
      for (const tokens of await drawEachWay(trial, rows)) expect(tokens).toEqual(rows.map(() => NO_TOKEN));
    });

    it("logits that the repetition penalty makes +Infinity give NO_TOKEN; those it makes -Infinity are masked", async () => {
      const vocabSize = 40;
      const trial = await openTrial({ vocabSize });
      const logits = trial.tensor("f32", 8, vocabSize);
      const row = new Float32Array(vocabSize).fill(-3e38);
      row.set([3e38, -3e38, 1], 0);
      const rows = [
        { repetitionPenalty: 0.1, seenTokens: [0], token: NO_TOKEN },
        { repetitionPenalty: 10, seenTokens: [1], token: 0 },
        {
          repetitionPenalty: 10,
          seenTokens: Array.from({ length: vocabSize }, (_, id) => id).slice(1),
          token: 0,
        },
      ];
      for (const temperature of [0, 1]) {
        trial.backend.write(logits, Float32Array.from([...row, ...row, ...row]));
        const draw = trial.backend.sample(
          logits,
          rows.map(({ repetitionPenalty, seenTokens }) => ({
            params: { ...GREEDY, temperature, repetitionPenalty },
            sampleIndex: 0,
            seenTokens,
          })),
        );
        expect([...(await draw.tokens())]).toEqual(rows.map(({ token }) => token));
      }
    });

    it.each<[string, number, number, Partial<SamplingParams>]>([
      ["all but three of few", 40, 3, {}],
      ["all but three of few", 40, 3, { temperature: 1 }],
      ["all but one of few", 40, 1, { temperature: 1, topK: 5, topP: 0.9 }],
      ["all but three of many", 6000, 3, { temperature: 1 }],
      ["all but three of many", 6000, 3, { temperature: 1, topK: 50 }],
      ["all but three of many", 6000, 3, { temperature: 1, topP: 0.99, minP: 0.01 }],
      ["a third of many", 6000, 4000, { temperature: 1 }],
      ["a third of many", 6000, 4000, { temperature: 1, topK: 5000, topP: 0.99 }],
      ["a third of many", 6000, 4000, { temperature: 1, minP: 0.9 }],
      ["a third of many", 6000, 4000, { temperature: 1e-45 }],
    ])("masked tokens are never sampled, others follow the definition: %s (%d, %d open), by %j", async (_, size, open, some) => {
      const trial = await openTrial({ vocabSize: size });
      const params = { ...GREEDY, ...some };
      const row = new Random(6).row(size).map((value) => Math.fround(value * 0.01));
      const free = new Random(7).subset(size, open);
      for (let id = 0; id < size; id++) if (!free.includes(id)) row[id] = -INF;
      const logits = trial.tensor("f32", 8, size);
      const order = [...samplingDistribution(row, params, [])];
      trial.backend.write(logits, Float32Array.from(Array.from({ length: 8 }, () => [...row]).flat()));
      for (let first = 0; first < (cases ? 8 : 64); first += 8) {
        const rows = Array.from({ length: 8 }, (_, i) => ({
          params,
          sampleIndex: first + i,
          seenTokens: [],
        }));
        const out = await trial.backend.sample(logits, rows).tokens();
        for (const [i, id] of out.entries()) {
          expect(row[id]).toBeGreaterThan(-INF);
          const at = order.findIndex(([token]) => token === id);
          const before = order.slice(0, at).reduce((sum, [, probability]) => sum + probability, 0);
          const wanted = hashUnit(params.seed, first + i, 0x5a11, 0);
          expect(wanted).toBeGreaterThan(before - 1e-4);
          expect(wanted).toBeLessThan(before + order[at][1] + 1e-4);
        }
      }
    });
  });
});
