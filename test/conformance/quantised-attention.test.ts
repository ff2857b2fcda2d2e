/**
 * Attention of prefill chunks where matrices are quantised, against brute force in f64. A backend may round queries, keys, values and weights
 * of attention to 16 bits, as it rounds the activations of such products: less than f16 keys and values do.
 */
import { describe, expect, it } from "vitest";
import type { Sizes } from "../sizes.ts";
import { matrixSpec } from "../weight-specs.ts";
import { allowedNmse } from "./allowed-nmse.ts";
import { attended } from "./attention-trial.ts";
import { BACKENDS_AND_ROUNDED } from "./backend-table.ts";
import { trialsOf } from "./open-trials.ts";
import { makeWeight, nmse } from "./random-weights.ts";
import type { Part, Trial } from "./trial.ts";

/** Caches of f16 round more; their kernels are those of float weights. */
const rows = BACKENDS_AND_ROUNDED.filter(({ name }) => !name.startsWith("webgpu"));

describe.each(rows)("$name", (row) => {
  const { cacheDtype } = row;
  const bound = allowedNmse(4e-8, cacheDtype);
  const openTrial = trialsOf(row);

  /** A backend with a quantised matrix. The products before attention stay f32, so that attention alone is off. */
  async function open(sizes: Partial<Sizes>): Promise<Trial> {
    const trial = await openTrial({ hiddenSize: 32, maxPages: 160, ...sizes });
    makeWeight(trial.backend, matrixSpec("matrix", "q8_0", [8, 32]), trial.random);
    return trial.withInputs();
  }

  /** Runs a step, attends in every layer right after its input, and compares. */
  async function expectAttended(trial: Trial, parts: readonly Part[]): Promise<void> {
    const { backend, query, output } = trial;
    trial.begin(parts);
    for (let layer = 0; layer < backend.model.numLayers; layer++) {
      trial.attentionInput(layer);
      backend.attendAll(layer, { first: 0, count: parts.length }, query, output);
      const expected = attended(trial, layer).flat();
      expect(nmse((await trial.floats(output)).subarray(0, expected.length), expected)).toBeLessThan(bound);
    }
  }

  it.each([
    [2, 2, 1],
    [18, 1, 5],
    [64, 3, 3],
    [128, 1, 4],
    [24, 2, 17],
  ])("headDim %i, %i kv heads × %i: chunks beside each other and after each other, NMSE < 4e-8", async (headDim, numKvHeads, groupSize) => {
    const trial = await open({ headDim, numKvHeads, numQueryHeads: numKvHeads * groupSize });
    const [a, b] = [trial.newSequence(), trial.newSequence()];
    for (const [ofA, ofB] of [
      [50, 2],
      [11, 33],
      [40, 3],
      [33, 31],
    ])
      await expectAttended(trial, [trial.part(a, ofA), trial.part(b, ofB)]);
  });

  it("windows of 1, 17 and 70, NMSE < 4e-8", async () => {
    const windows = [1, 17, 70];
    const trial = await open({
      ...{ numLayers: windows.length, headDim: 64, numKvHeads: 2, numQueryHeads: 6 },
      layers: windows.map((window) => ({ rope: 0, window })),
    });
    const sequence = trial.newSequence();
    for (const count of [64, 9, 40, 64, 3]) await expectAttended(trial, [trial.part(sequence, count)]);
  });

  it.each([
    0.001, 1, 30,
  ])("logits of a scale of %d, flat to a single key, NMSE < 4e-8", async (attentionScale) => {
    const trial = await open({ headDim: 16, numKvHeads: 1, numQueryHeads: 3, attentionScale });
    const sequence = trial.newSequence();
    for (const count of [64, 64, 64]) await expectAttended(trial, [trial.part(sequence, count)]);
  });

  it("equal keys and equal values, whose sums are the largest, NMSE < 4e-8", async () => {
    const trial = await open({ headDim: 2, numKvHeads: 1, numQueryHeads: 2 });
    const sequence = trial.newSequence();
    for (const count of [64, 64, 40]) {
      const part = trial.part(sequence, count);
      for (const values of part.rows) values.fill(1);
      await expectAttended(trial, [part]);
    }
  });

  it("rows of zeros among others, NMSE < 4e-8", async () => {
    const trial = await open({ headDim: 8, numKvHeads: 1, numQueryHeads: 2 });
    const part = trial.part(trial.newSequence(), 40);
    for (const i of [0, 7, 8, 39]) part.rows[i].fill(0);
    await expectAttended(trial, [part]);
  });

  it("a row of NaN is NaN for those that see it, and nothing before it", async () => {
    const trial = await open({ headDim: 8, numKvHeads: 1, numQueryHeads: 2 });
    const { backend, query, output } = trial;
    const sequence = trial.newSequence();
    trial.run([trial.part(sequence, 20)]);
    const part = trial.part(sequence, 40);
    part.rows[24].fill(Number.NaN);
    trial.run([part]);
    backend.attendAll(0, { first: 0, count: 1 }, query, output);
    const found = await trial.floats(output);
    const areFinite = Array.from({ length: 40 }, (_, i) =>
      found.subarray(i * 16, (i + 1) * 16).every(Number.isFinite),
    );
    // rows share vectors of a panel with the spoiled one
    expect(areFinite.slice(0, 20)).toEqual(new Array(20).fill(true));
    expect(areFinite.slice(24)).toEqual(new Array(16).fill(false));
  });
});
