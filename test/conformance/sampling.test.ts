/** Draws on every backend: against the distribution by brute force, and as what the next step goes on from. */
import { afterEach, describe, expect, it } from "vitest";
import {
  type Backend,
  type BackendShape,
  DRAWN_TOKEN,
  type Draw,
  MAX_DRAWS_UNDER_WAY,
  type SamplingParams,
} from "../../src/backend/backend.ts";
import { ShapeError } from "../../src/base/errors.ts";
import { hashUnit } from "../../src/base/random.ts";
import type { TensorRef } from "../../src/base/tensor-ref.ts";
import { BACKENDS } from "./backend-table.ts";
import { samplingDistribution } from "./brute-force.ts";
import { makeWeight, Random, shapeOf, Trial } from "./trial.ts";

const GREEDY: SamplingParams = {
  temperature: 0,
  topK: 0,
  topP: 1,
  minP: 0,
  repetitionPenalty: 1,
  seed: 1,
};

describe.each(BACKENDS)("$name", ({ open, isSlow }) => {
  const opened: Backend[] = [];
  afterEach(async () => {
    for (const backend of opened.splice(0)) await backend.close();
  });
  async function openTrial(shape: Partial<BackendShape>): Promise<Trial> {
    const backend = await open(shapeOf(shape));
    opened.push(backend);
    return new Trial(backend, 1);
  }

  describe("sample", () => {
    const vocabSize = 40;
    const numDraws = isSlow ? 960 : 4000;
    const values = (seed: number) => new Random(seed).row(vocabSize).map((value) => Math.fround(value * 2));

    it("greedy takes the lowest id of the largest logit", async () => {
      const trial = await openTrial({ vocabSize });
      const logits = trial.tensor("f32", 8, vocabSize);
      const rows = [values(1), values(2).fill(9, 7, 12), new Float64Array(vocabSize), values(3)];
      rows[3].fill(Number.NEGATIVE_INFINITY, 0, 39);
      trial.backend.write(logits, Float32Array.from(rows.flatMap((row) => [...row])));
      const draw = trial.backend.sample(
        logits,
        rows.map(() => ({ params: GREEDY, draw: 0, seenTokens: [] })),
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
        seen.map((seenTokens) => ({ params, draw: 0, seenTokens })),
      );
      expect([...(await weak.tokens())]).toEqual([0, 0, 0]);
      trial.backend.write(logits, Float32Array.from([...row, ...row, ...row]));
      const more = [[1, 2], [0, 1], [0]];
      const strong = trial.backend.sample(
        logits,
        more.map((seenTokens) => ({
          params: { ...params, repetitionPenalty: 1.6 },
          draw: 0,
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
    ])(`${numDraws} draws of %j follow the distribution, and a draw depends on (seed, draw) alone`, async (some) => {
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
        // Written anew: a penalty may be applied in place.
        trial.backend.write(logits, batch);
        const rows = Array.from({ length: 8 }, (_, i) => ({ params, draw: first + i, seenTokens }));
        const out = await trial.backend.sample(logits, rows).tokens();
        for (const id of out) counts.set(id, (counts.get(id) ?? 0) + 1);
        draws.push(...out);
      }
      expect([...counts.keys()].filter((id) => !expected.has(id))).toEqual([]);
      let chiSquared = 0;
      for (const [id, probability] of expected)
        chiSquared += ((counts.get(id) ?? 0) - numDraws * probability) ** 2 / (numDraws * probability);
      // Mean n, variance 2n: six deviations.
      const n = expected.size;
      expect(chiSquared).toBeLessThan(n + 6 * Math.sqrt(2 * n) + 10);
      trial.backend.write(logits, batch);
      const again = [numDraws - 1, 17, 0, 17].map((draw) => ({ params, draw, seenTokens }));
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
    ])("draws from 6000 %s logits (deviation %d) by %j are those of the definition", async (_, deviation, some) => {
      const size = 6000;
      const trial = await openTrial({ vocabSize: size });
      const params = { ...GREEDY, ...some };
      const row = new Random(5).row(size).map((value) => Math.fround(value * deviation));
      const logits = trial.tensor("f32", 8, size);
      const order = [...samplingDistribution(row, params, [])];
      trial.backend.write(logits, Float32Array.from(Array.from({ length: 8 }, () => [...row]).flat()));
      const rows = Array.from({ length: 8 }, (_, draw) => ({ params, draw, seenTokens: [] }));
      const out = await trial.backend.sample(logits, rows).tokens();
      for (const [draw, id] of out.entries()) {
        const at = order.findIndex(([token]) => token === id);
        const before = order.slice(0, at).reduce((sum, [, probability]) => sum + probability, 0);
        const wanted = hashUnit(params.seed, draw, 0x5a11, 0);
        // sums of f32 may fall on the other side of a border
        expect(wanted).toBeGreaterThan(before - 1e-4);
        expect(wanted).toBeLessThan(before + order[at][1] + 1e-4);
      }
    });
  });

  describe("drawn tokens", () => {
    /** Logits whose largest are at the ids given, a row each, drawn. */
    function drawIds(trial: Trial, logits: TensorRef, ids: readonly number[]): Draw {
      const { vocabSize } = trial.backend.shape;
      const values = new Float32Array(ids.length * vocabSize);
      for (const [row, id] of ids.entries()) values[row * vocabSize + id] = 3;
      trial.backend.write(logits, values);
      return trial.backend.sample(
        logits,
        ids.map(() => ({ params: GREEDY, draw: 0, seenTokens: [] })),
      );
    }

    it("the next step goes on from the last draw before it is read, in any order and mixed with ids, exactly", async () => {
      const trial = await openTrial({});
      const { vocabSize, hiddenSize, maxBatchSequences } = trial.backend.shape;
      const table = makeWeight(trial.backend, "embedding", "bf16", vocabSize, hiddenSize, trial.random);
      const logits = trial.tensor("f32", maxBatchSequences, vocabSize);
      const before = drawIds(trial, logits, [1, 2]);
      const last = drawIds(trial, logits, [9, 50, 30]);
      trial.begin(Array.from({ length: 5 }, () => trial.part(trial.newSequence(), 1)));
      trial.batch.tokenIds.set([DRAWN_TOKEN | 2, 5, DRAWN_TOKEN, DRAWN_TOKEN | 1, DRAWN_TOKEN | 2]);
      trial.backend.beginStep(trial.batch);
      trial.backend.embed(table.ref, trial.x);
      const x = await trial.floats(trial.x);
      for (const [row, id] of [30, 5, 9, 50, 30].entries())
        expect([...x.subarray(row * hiddenSize, (row + 1) * hiddenSize)], `row ${row}`).toEqual([
          ...table.plain.values.slice(id * hiddenSize, (id + 1) * hiddenSize),
        ]);
      expect([...(await last.tokens())]).toEqual([9, 50, 30]);
      expect([...(await before.tokens())]).toEqual([1, 2]);
      expect([...(await last.tokens())]).toEqual([9, 50, 30]);
    });

    it("a draw of no rows gives no tokens", async () => {
      const trial = await openTrial({});
      const logits = trial.tensor("f32", 8, trial.backend.shape.vocabSize);
      expect([...(await trial.backend.sample(logits, []).tokens())]).toEqual([]);
      expect([...(await drawIds(trial, logits, [7]).tokens())]).toEqual([7]);
    });

    it("a row that the last draw did not have is a ShapeError", async () => {
      const trial = await openTrial({});
      const logits = trial.tensor("f32", 8, trial.backend.shape.vocabSize);
      const begin = () => {
        trial.batch.tokenIds[0] = DRAWN_TOKEN | 1;
        trial.backend.beginStep(trial.batch);
      };
      trial.begin([trial.part(trial.newSequence(), 1)]);
      expect(begin).toThrow(ShapeError);
      await drawIds(trial, logits, [1]).tokens();
      expect(begin).toThrow("row 1 of the last draw, which had 1 rows");
      drawIds(trial, logits, [1, 2]);
      begin();
    });

    it(`${MAX_DRAWS_UNDER_WAY} draws may be on their way, and draws that nobody reads make room again`, async () => {
      const trial = await openTrial({});
      const logits = trial.tensor("f32", 8, trial.backend.shape.vocabSize);
      for (let round = 0; round < 3; round++) {
        const draws = Array.from({ length: MAX_DRAWS_UNDER_WAY }, (_, i) => drawIds(trial, logits, [i]));
        expect([...((await draws.at(-1)?.tokens()) ?? [])]).toEqual([MAX_DRAWS_UNDER_WAY - 1]);
      }
    });
  });
});
