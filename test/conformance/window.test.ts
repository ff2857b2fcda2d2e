/** Layers with sliding windows, and logits of another scale than headDim ** -0.5, against brute force in f64. */
import { describe, expect, it } from "vitest";
import { ShapeError } from "../../src/base/errors.ts";
import { allowedNmse } from "./allowed-nmse.ts";
import { attended, newScores, scoresOf } from "./attention-trial.ts";
import { BACKENDS_AND_ROUNDED } from "./backend-table.ts";
import { attention, headScores } from "./brute-force.ts";
import { trialsOf } from "./open-trials.ts";
import { nmse } from "./random-weights.ts";
import type { Part, Trial } from "./trial.ts";

/** 1: the row alone. 16: a page. 17 and 70: edges within pages and tiles. 400: longer than all sequences. */
const WINDOWS = [1, 16, 17, 70, 400];
const LENGTHS = [1, 15, 16, 17, 18, 64, 69, 70, 71, 128, 300];

describe.each(BACKENDS_AND_ROUNDED)("$name", (row) => {
  const { cases, cacheDtype } = row;
  const within = (bound: number) => allowedNmse(bound, cacheDtype);
  const openTrial = trialsOf(row);
  const windows = cases === "few" ? [1, 17, 400] : WINDOWS;
  const lengths = cases === "few" ? [1, 16, 17, 71, 300] : LENGTHS;

  /** A layer with each window, and one without. Layers compute the same keys of the same rows, each with weights of its own. */
  async function open(headDim: number, attentionScale = headDim ** -0.5): Promise<Trial> {
    const trial = await openTrial({
      ...{ numLayers: windows.length + 1, headDim, attentionScale, numKvHeads: 2, numQueryHeads: 6 },
      ...{ maxPages: 160, maxBatchSequences: LENGTHS.length },
      layers: [...windows.map((window) => ({ rope: 0, window })), { rope: 0 }],
    });
    return trial.withInputs();
  }

  /** Runs a step, attends in every layer right after its input, and compares. */
  async function expectAttended(trial: Trial, parts: readonly Part[]): Promise<void> {
    const { backend, query, output } = trial;
    const all = { first: 0, count: parts.length };
    trial.begin(parts);
    for (let layer = 0; layer < backend.model.numLayers; layer++) {
      trial.attentionInput(layer);
      backend.attendAll(layer, all, query, output);
      const expected = attended(trial, layer).flat();
      const actual = (await trial.floats(output)).subarray(0, expected.length);
      expect(nmse(actual, expected)).toBeLessThan(within(1e-11));
    }
  }

  it("decode rows see the window's last positions, at lengths around windows, pages and splits, NMSE < 1e-11", async () => {
    const trial = await open(18);
    const parts: Part[] = [];
    for (const length of lengths) parts.push(trial.part(await trial.filled(length - 1), 1));
    await expectAttended(trial, parts);
    // a second step: windows slide by one
    await expectAttended(
      trial,
      parts.map(({ sequence }) => trial.part(sequence, 1)),
    );
  });

  it("rows of chunks see the window up to their own position, across its edge, NMSE < 1e-11", async () => {
    const trial = await open(cases === "few" ? 10 : 64);
    const [alone, short, long] = [trial.newSequence(), trial.newSequence(), trial.newSequence()];
    await expectAttended(trial, [trial.part(alone, 64)]);
    // chunks that begin before and behind the edge of a window, beside a decode row
    for (const rows of [
      [9, 40, 1],
      [20, 30, 1],
      [2, 1, 61],
      [1, 33, 30],
    ])
      await expectAttended(trial, [
        trial.part(short, rows[0]),
        trial.part(long, rows[1]),
        trial.part(alone, rows[2]),
      ]);
  });

  it("a decode row reads nothing before the window: NaN there changes nothing, exactly", async () => {
    const results: number[][] = [];
    for (const isPoisoned of [false, true]) {
      const trial = await open(8);
      const { backend, query, output } = trial;
      const sequence = trial.newSequence();
      const part = trial.part(sequence, 40);
      if (isPoisoned) for (const values of part.rows) values.fill(Number.NaN);
      trial.run([part]);
      for (let i = 0; i < 17; i++) trial.run([trial.part(sequence, 1)]);
      const found: number[] = [];
      for (const [layer, window] of windows.entries()) {
        if (window > 17) continue;
        backend.attendAll(layer, { first: 0, count: 1 }, query, output);
        found.push(...(await trial.floats(output)).slice(0, 6 * 8));
      }
      expect(found.every(Number.isFinite)).toBe(true);
      results.push(found);
    }
    expect(results[1]).toEqual(results[0]);
  });

  it("scores of all positions are refused in a layer with a window", async () => {
    const trial = await open(8);
    trial.run([trial.part(await trial.filled(20), 1)]);
    const { backend, query, output } = trial;
    const all = { first: 0, count: 1 };
    const scores = newScores(trial, 6);
    expect(() => backend.attendAll(0, all, query, output, scores)).toThrow(ShapeError);
    backend.attendAll(windows.length, all, query, output, scores);
  });

  it("logits are scaled by attentionScale in every pass, NMSE < 1e-11", async () => {
    const scale = 0.37;
    const trial = await open(16, scale);
    await expectAttended(trial, [trial.part(await trial.filled(30), 20)]);
    const sequences = [await trial.filled(40), await trial.filled(280)];
    trial.run(sequences.map((sequence) => trial.part(sequence, 1)));
    const layer = windows.length;
    const { backend, query, output } = trial;
    const all = { first: 0, count: 2 };
    const [emitted, computed] = [newScores(trial, 6), newScores(trial, 6)];
    backend.attendAll(layer, all, query, output, emitted);
    backend.scores(layer, all, query, computed);
    const positions = sequences.map(({ length }) => [trial.random.subset(length, 33)]);
    backend.attendSelected(layer, all, query, trial.selection(positions, 40), output);
    const selected = (await trial.floats(output)).subarray(0, 2 * 6 * 16);
    const expected: number[] = [];
    for (const [s, sequence] of sequences.entries())
      for (const [h, head] of trial.queries[s].entries()) {
        const [keys, values] = [trial.keysOf(sequence, layer, h), trial.valuesOf(sequence, layer, h)];
        const wanted = headScores(head, keys, scale);
        for (const scores of [emitted, computed])
          expect(nmse(await scoresOf(trial, scores, s, h, sequence.length), wanted)).toBeLessThan(
            within(1e-11),
          );
        const [chosen] = positions[s];
        const rows = [keys, values].map((all) => chosen.map((t) => all[t]));
        expected.push(...attention(head, rows[0], rows[1], scale));
      }
    expect(nmse(selected, expected)).toBeLessThan(within(1e-11));
  });
});
