/** Tokens of a sample on every backend: in flight, and as input of the next step. */
import { describe, expect, it } from "vitest";
import {
  type InFlightSample,
  MAX_IN_FLIGHT_SAMPLES,
  NO_TOKEN,
  SAMPLED_TOKEN,
  type SamplingParams,
} from "../../src/backend/backend.ts";
import { ShapeError } from "../../src/base/errors.ts";
import type { TensorRef } from "../../src/base/tensor-ref.ts";
import { matrixSpec } from "../weight-specs.ts";
import { BACKENDS } from "./backend-table.ts";
import { trialsOf } from "./open-trials.ts";
import { makeWeight } from "./random-weights.ts";
import type { Trial } from "./trial.ts";

const GREEDY: SamplingParams = {
  temperature: 0,
  topK: 0,
  topP: 1,
  minP: 0,
  repetitionPenalty: 1,
  seed: 1,
};

describe.each(BACKENDS)("$name", (row) => {
  const openTrial = trialsOf(row);

  describe("sampled tokens", () => {
    /** Samples rows of logits, each largest at one of the given ids. */
    function drawIds(trial: Trial, logits: TensorRef, ids: readonly number[]): InFlightSample {
      const { vocabSize } = trial.backend.model;
      const values = new Float32Array(ids.length * vocabSize);
      for (const [row, id] of ids.entries()) values[row * vocabSize + id] = 3;
      trial.backend.write(logits, values);
      return trial.backend.sample(
        logits,
        ids.map(() => ({ params: GREEDY, sampleIndex: 0, seenTokens: [] })),
      );
    }

    it("the next step continues from a sample in flight, in any order and mixed with ids, exactly", async () => {
      const trial = await openTrial({});
      const { vocabSize, hiddenSize } = trial.backend.model;
      const { maxBatchSequences } = trial.backend.capacity;
      const table = makeWeight(
        trial.backend,
        matrixSpec("embedding", "bf16", [vocabSize, hiddenSize]),
        trial.random,
      );
      const logits = trial.tensor("f32", maxBatchSequences, vocabSize);
      const before = drawIds(trial, logits, [1, 2]);
      const last = drawIds(trial, logits, [9, 50, 30]);
      trial.begin(Array.from({ length: 5 }, () => trial.part(trial.newSequence(), 1)));
      trial.batch.tokenIds.set([SAMPLED_TOKEN | 2, 5, SAMPLED_TOKEN, SAMPLED_TOKEN | 1, SAMPLED_TOKEN | 2]);
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

    it("the next step continues from NO_TOKEN as from token 0, beside other rows", async () => {
      const trial = await openTrial({});
      const { vocabSize, hiddenSize } = trial.backend.model;
      const { maxBatchSequences } = trial.backend.capacity;
      const table = makeWeight(
        trial.backend,
        matrixSpec("embedding", "bf16", [vocabSize, hiddenSize]),
        trial.random,
      );
      const logits = trial.tensor("f32", maxBatchSequences, vocabSize);
      const values = new Float32Array(3 * vocabSize);
      values.set([5], 9);
      values.set([Number.NaN], vocabSize);
      values.set([5], 2 * vocabSize + 30);
      for (const temperature of [0, 1]) {
        trial.backend.write(logits, values);
        const rows = [0, 1, 2].map((sampleIndex) => ({
          params: { ...GREEDY, temperature, topK: 1 },
          sampleIndex,
          seenTokens: [],
        }));
        const draw = trial.backend.sample(logits, rows);
        trial.begin(Array.from({ length: 3 }, () => trial.part(trial.newSequence(), 1)));
        trial.batch.tokenIds.set([SAMPLED_TOKEN | 2, SAMPLED_TOKEN | 1, SAMPLED_TOKEN]);
        trial.backend.beginStep(trial.batch);
        trial.backend.embed(table.ref, trial.x);
        const x = await trial.floats(trial.x);
        for (const [row, id] of [30, 0, 9].entries())
          expect([...x.subarray(row * hiddenSize, (row + 1) * hiddenSize)], `row ${row}`).toEqual([
            ...table.plain.values.slice(id * hiddenSize, (id + 1) * hiddenSize),
          ]);
        expect([...(await draw.tokens())]).toEqual([9, NO_TOKEN, 30]);
      }
    });

    it("a sample of no rows has no tokens", async () => {
      const trial = await openTrial({});
      const logits = trial.tensor("f32", 8, trial.backend.model.vocabSize);
      expect([...(await trial.backend.sample(logits, []).tokens())]).toEqual([]);
      expect([...(await drawIds(trial, logits, [7]).tokens())]).toEqual([7]);
    });

    it("a row that the last sample does not have is a ShapeError", async () => {
      const trial = await openTrial({});
      const logits = trial.tensor("f32", 8, trial.backend.model.vocabSize);
      const begin = () => {
        trial.batch.tokenIds[0] = SAMPLED_TOKEN | 1;
        trial.backend.beginStep(trial.batch);
      };
      trial.begin([trial.part(trial.newSequence(), 1)]);
      expect(begin).toThrow(ShapeError);
      await drawIds(trial, logits, [1]).tokens();
      expect(begin).toThrow("row 1 of the last sample, which had 1 rows");
      drawIds(trial, logits, [1, 2]);
      begin();
    });

    it(`${MAX_IN_FLIGHT_SAMPLES} samples may be in flight, and samples that nobody reads free their place`, async () => {
      const trial = await openTrial({});
      const logits = trial.tensor("f32", 8, trial.backend.model.vocabSize);
      for (let round = 0; round < 3; round++) {
        const draws = Array.from({ length: MAX_IN_FLIGHT_SAMPLES }, (_, i) => drawIds(trial, logits, [i]));
        expect([...((await draws.at(-1)?.tokens()) ?? [])]).toEqual([MAX_IN_FLIGHT_SAMPLES - 1]);
      }
    });
  });
});
