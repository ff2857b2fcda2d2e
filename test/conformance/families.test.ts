/** What only some families need, against brute force: activations, output norms, scaled embeddings, RoPE tables and experts. */
import { afterEach, describe, expect, it } from "vitest";
import type { Backend, ModelShape } from "../../src/backend/backend.ts";
import { BackendError } from "../../src/base/errors.ts";
import { WEIGHT_FORMATS, type WeightFormat } from "../../src/base/weight-format.ts";
import { sizesOf } from "../sizes.ts";
import { matrixSpec } from "../weight-specs.ts";
import { allowedNmse } from "./allowed-nmse.ts";
import { BACKENDS, webGpuWithLayerKernel } from "./backend-table.ts";
import { chooseExperts } from "./brute-force.ts";
import { advanced, makeLayer, refsOf } from "./layer-output.ts";
import { makeWeight, nmse, weightOf } from "./random-weights.ts";
import { Trial } from "./trial.ts";

/** Sizes of whole blocks of 32; expert rows are whole groups of 8. */
const SIZES = { hiddenSize: 64, intermediateSize: 96, numQueryHeads: 4, numKvHeads: 2, headDim: 16 };
const EXPERTS = { numExperts: 5, topExperts: 2, intermediateSize: 32, isNormalised: true };
const FORMATS: readonly WeightFormat[] = ["f32", "bf16", "q8_0", "q4_1"];

interface Case {
  readonly name: string;
  readonly shape: Partial<ModelShape>;
  readonly outputNorm?: boolean;
}

const CASES: readonly Case[] = [
  { name: "GELU", shape: { activation: "gelu_tanh" } },
  { name: "GELU and output norms", shape: { activation: "gelu_tanh" }, outputNorm: true },
  { name: "experts whose weights sum to 1", shape: { experts: EXPERTS } },
  {
    name: "experts with GELU, weights as they are",
    shape: { activation: "gelu_tanh", experts: { ...EXPERTS, topExperts: 3, isNormalised: false } },
  },
];

/** Rows of the sequences of a step: single rows, and more rows of an expert than a kernel takes one at a time. */
const BATCHES = [[1], [1, 40, 1]];

type Run = readonly [case_: Case, format: WeightFormat];
const ALL: readonly Run[] = CASES.flatMap((one) => FORMATS.map((format) => [one, format] as const));
/** Every activation, norm and reader of weights once, for software adapters and the quick loop. */
const FEW: readonly Run[] = [
  [CASES[1], "bf16"],
  [CASES[1], "q4_1"],
  [CASES[2], "bf16"],
  [CASES[3], "q8_0"],
];

describe.each([...BACKENDS, ...(await webGpuWithLayerKernel())])("$name", ({
  name,
  open,
  cases,
  cacheDtype,
}) => {
  const isLayerKernel = name === "webgpu, layer kernel";
  const within = (bound: number) => allowedNmse(bound, cacheDtype);
  const opened: Backend[] = [];
  afterEach(async () => {
    for (const backend of opened.splice(0)) await backend.close();
  });
  async function openTrial(shape: Partial<ModelShape>): Promise<Trial> {
    const backend = await open(...sizesOf({ ...SIZES, ...shape }));
    opened.push(backend);
    return new Trial(backend, 11, cacheDtype);
  }

  // The layer kernel takes one row, and neither output norms nor experts.
  const runs: readonly Run[] = isLayerKernel ? [[CASES[0], "f16"]] : cases ? FEW : ALL;
  const batches = isLayerKernel ? BATCHES.slice(0, 1) : BATCHES;
  it.each(
    runs.map(([one, format]) => [`advance with ${one.name}, weights in ${format}`, one, format] as const),
  )("%s: x within NMSE 1e-11, of quantised ones 1e-3", async (_, { shape, outputNorm = false }, format) => {
    const trial = await openTrial(shape);
    if (!trial.backend.weightFormats.has(format)) {
      const spec = matrixSpec("unknown", format, [8, WEIGHT_FORMATS[format].blockElements]);
      expect(() => trial.backend.createWeight(spec)).toThrow(BackendError);
      return;
    }
    const weights = makeLayer(trial, format, outputNorm);
    const isExact = WEIGHT_FORMATS[format].blockElements === 1;
    for (const rows of batches) {
      trial.begin(rows.map((count) => trial.part(trial.newSequence(), count)));
      const xs = trial.parts.flatMap((part) => part.rows);
      const attended = xs.map(() => trial.random.row(SIZES.numQueryHeads * SIZES.headDim));
      trial.backend.write(trial.output, Float32Array.from(attended.flatMap((row) => [...row])));
      const tensors = { attended: trial.output, x: trial.x, query: trial.query };
      trial.backend.advance(refsOf(weights), undefined, tensors);
      const expected = xs.map((x, row) => advanced(trial.backend.model, weights, x, attended[row]));
      const numbers = expected.flatMap((row) => [...row]);
      expect(nmse(await trial.floats(trial.x), numbers)).toBeLessThan(isExact ? within(1e-11) : 1e-3);
    }
  });
  if (isLayerKernel) return;

  it("of experts with equal logits the lower ones compute the row", async () => {
    const trial = await openTrial({ experts: EXPERTS });
    const weights = makeLayer(trial, "f32", false);
    const router = new Float64Array(EXPERTS.numExperts * SIZES.hiddenSize);
    const tied = {
      ...weights,
      router: weightOf(trial.backend, [EXPERTS.numExperts, SIZES.hiddenSize], router),
    };
    trial.begin([trial.part(trial.newSequence(), 3)]);
    const xs = trial.parts.flatMap((part) => part.rows);
    const attended = xs.map(() => new Float64Array(SIZES.numQueryHeads * SIZES.headDim));
    trial.backend.advance(refsOf(tied), undefined, {
      attended: trial.output,
      x: trial.x,
      query: trial.query,
    });
    expect([...chooseExperts(new Float64Array(5), 2, true).keys()]).toEqual([0, 1]);
    const expected = xs.map((x, row) => advanced(trial.backend.model, tied, x, attended[row]));
    expect(
      nmse(
        await trial.floats(trial.x),
        expected.flatMap((row) => [...row]),
      ),
    ).toBeLessThan(within(1e-11));
  });

  it("embeddings are scaled", async () => {
    const trial = await openTrial({ embeddingScale: 25.25 });
    const { vocabSize, hiddenSize } = trial.backend.model;
    const table = makeWeight(
      trial.backend,
      matrixSpec("embedding", "bf16", [vocabSize, hiddenSize]),
      trial.random,
    );
    trial.begin([trial.part(trial.newSequence(), 3)]);
    trial.backend.embed(table.ref, trial.x);
    const expected = [0, 1, 2].flatMap((row) => {
      const at = trial.batch.tokenIds[row] * hiddenSize;
      return [...table.plain.values.slice(at, at + hiddenSize)].map((value) => Math.fround(value * 25.25));
    });
    expect([...(await trial.floats(trial.x)).subarray(0, 3 * hiddenSize)]).toEqual(expected);
  });

  it("layers turn queries and keys by their own RoPE tables, NMSE < 1e-11", async () => {
    const layers = [{ rope: 2 }, { rope: 0, queryRope: 1 }];
    const trial = (await openTrial({ numLayers: 2, numRopes: 3, layers })).withInputs();
    for (const rows of [1, 9]) {
      const sequence = await trial.filled(7);
      trial.begin([trial.part(sequence, rows)]);
      for (const layer of [0, 1]) {
        trial.attentionInput(layer);
        const queries = trial.queries.flatMap((heads) => heads.flatMap((head) => [...head]));
        const actual = (await trial.floats(trial.query)).subarray(0, queries.length);
        expect(nmse(actual, queries)).toBeLessThan(within(1e-11));
        if (rows > 1) continue;
        const scores = {
          values: trial.tensor("f32", 1, SIZES.numQueryHeads, 512),
          heads: SIZES.numQueryHeads,
          unit: 1,
        };
        trial.backend.scores(layer, { first: 0, count: 1 }, trial.query, scores);
        const logits = await trial.floats(scores.values);
        for (const [h, query] of (trial.queries[0] ?? []).entries()) {
          const keys = trial.keysOf(sequence, layer, h);
          const expected = keys.map(
            (key) => key.reduce((sum, value, i) => sum + value * (query[i] ?? 0), 0) / 4,
          );
          expect(nmse(logits.subarray(h * 512, h * 512 + keys.length), expected)).toBeLessThan(within(1e-10));
        }
      }
    }
  });
});
