/** Sketches of keys on random caches: what each backend scores against them for each kv head, against plain loops over the keys, which round as the sketch says. */
import { afterEach, describe, expect, it } from "vitest";
import type { Backend, KeySketch } from "../../src/backend/backend.ts";
import { sketchWords } from "../../src/backend/sketch-words.ts";
import { sizesOf } from "../sizes.ts";
import { CACHE_BACKENDS } from "./backend-table.ts";
import { nmse } from "./random-weights.ts";
import { Trial, type TrialSequence } from "./trial.ts";

/** Tokens of the pool. */
const NUM_SLOTS = 192;
const LENGTH = 96;
const LAYERS = [0, 1];

/** A key as its sketch has it: 15 steps of a channel, from its largest; scale and quotients in f32, ties to even. */
function rounded(key: Float64Array): Float64Array {
  const scale = Math.fround(Math.fround(key.reduce((most, k) => Math.max(most, Math.abs(k)), 0)) / 7);
  return key.map((k) => (scale === 0 ? 0 : scale * halfToEven(Math.fround(Math.fround(k) / scale))));
}

function halfToEven(x: number): number {
  const nearest = Math.round(x);
  return Math.abs(x % 1) === 0.5 ? 2 * Math.round(x / 2) : nearest;
}

const dot = (a: Float64Array, b: Float64Array) => a.reduce((sum, x, i) => sum + x * (b[i] ?? 0), 0);

/** Of head sizes that fill a run of 32 channels and that do not, groups of 1 to 7 heads, and pages of fewer slots than a kernel takes at once. */
const SHAPES = [
  { headDim: 24, numKvHeads: 1, numQueryHeads: 3, pageSize: 8 },
  { headDim: 64, numKvHeads: 3, numQueryHeads: 3, pageSize: 4 },
  { headDim: 128, numKvHeads: 2, numQueryHeads: 8, pageSize: 8 },
  { headDim: 10, numKvHeads: 1, numQueryHeads: 7, pageSize: 1 },
  { headDim: 40, numKvHeads: 2, numQueryHeads: 10, pageSize: 2 },
] as const;
/** A score that no kernel wrote. */
const UNTOUCHED = -7e7;

describe.each(CACHE_BACKENDS)("$name", ({ open, cacheDtype, cases }) => {
  const shapes = cases === "few" ? SHAPES.slice(0, 3) : SHAPES;
  const opened: Backend[] = [];
  afterEach(async () => {
    for (const backend of opened.splice(0)) await backend.close();
  });

  /** A trial, and a sketch of each layer that follows the pool. */
  async function openTrial(shape: (typeof SHAPES)[number]) {
    const { pageSize } = shape;
    const capacity = { maxPages: NUM_SLOTS / pageSize, maxSequenceLength: LENGTH };
    const backend = await open(...sizesOf({ numLayers: LAYERS.length, ...shape, ...capacity }));
    opened.push(backend);
    const words = [pageSize, shape.numKvHeads, sketchWords(shape.headDim)];
    const sketches = LAYERS.map((): KeySketch => ({ keys: backend.createPageTensor("u32", words) }));
    return { trial: new Trial(backend, 5, cacheDtype).withInputs(), sketches };
  }

  /** One more token each, in a step that sketches from the positions given. */
  function step(
    trial: Trial,
    sketches: readonly KeySketch[],
    parts: readonly (readonly [TrialSequence, number])[],
  ): void {
    trial.run(parts.map(([sequence, validBounds]) => ({ ...trial.part(sequence, 1), validBounds })));
    for (const layer of LAYERS)
      trial.backend.updateKeySketch(layer, { first: 0, count: parts.length }, sketches[layer] as KeySketch);
  }

  /**
   * The scores of the last step, of all heads and sequences together, are those of the rounded keys, NMSE < 5e-4: a channel in the
   * middle of two steps may take either, which is 4e-3 of the scores of one head over 5 tokens. A wrong head of 5 tokens of 100 is 1e-2.
   */
  async function expectScores(trial: Trial, sketches: readonly KeySketch[]): Promise<void> {
    const { numQueryHeads, numKvHeads: heads, attentionScale } = trial.backend.model;
    const group = numQueryHeads / heads;
    // queries are those of the last layer, which the step ran last
    const layer = LAYERS.length - 1;
    // no room behind the longest sequence: a score there would be the next row's
    const room = Math.max(...trial.parts.map(({ sequence }) => sequence.length));
    const values = trial.tensor("f32", 8, heads, room);
    trial.backend.write(values, new Float32Array(8 * heads * room).fill(UNTOUCHED));
    const range = { first: 0, count: trial.parts.length };
    const scores = { values, heads, unit: 1 };
    trial.backend.sketchScores(range, trial.query, sketches[layer] as KeySketch, scores);
    const all = await trial.floats(values);
    const [actual, expected]: [number[], number[]] = [[], []];
    for (const [s, { sequence }] of trial.parts.entries())
      for (let head = 0; head < heads; head++) {
        const queries = trial.queries[s]?.slice(head * group, (head + 1) * group) ?? [];
        const keys = trial.keysOf(sequence, layer, head * group).map(rounded);
        const row = all.subarray((s * heads + head) * room, (s * heads + head + 1) * room);
        actual.push(...row.subarray(0, keys.length));
        expected.push(...keys.map((key) => attentionScale * Math.max(...queries.map((q) => dot(q, key)))));
        expect([...row.subarray(keys.length)].every((score) => score === UNTOUCHED)).toBe(true);
      }
    expect(actual.every(Number.isFinite)).toBe(true);
    expect(nmse(actual, expected)).toBeLessThan(5e-4);
  }

  it.each(
    shapes,
  )("scores of $numQueryHeads heads of $headDim on $numKvHeads kv heads, pages of $pageSize, several sequences, pages partly filled", async (shape) => {
    const { trial, sketches } = await openTrial(shape);
    const sequences = [await trial.filled(37), await trial.filled(3), await trial.filled(63)];
    step(
      trial,
      sketches,
      sequences.map((sequence) => [sequence, 0] as const),
    );
    await expectScores(trial, sketches);
    // only the new token: the other sketches stay
    for (let i = 0; i < 2; i++)
      step(
        trial,
        sketches,
        sequences.map((sequence) => [sequence, sequence.length] as const),
      );
    await expectScores(trial, sketches);
  });

  it("the sketch of the last slot of a pool stays within its tensor", async () => {
    const shape = { headDim: 128, numKvHeads: 2, numQueryHeads: 2, pageSize: 1 };
    const backend = await open(...sizesOf({ ...shape, maxPages: 5, maxSequenceLength: 5 }));
    opened.push(backend);
    const words = [shape.pageSize, shape.numKvHeads, sketchWords(shape.headDim)];
    const sketch = { keys: backend.createPageTensor("u32", words) };
    const next = backend.createTensor("u32", [32]);
    const trial = new Trial(backend, 5, cacheDtype).withInputs();
    backend.write(next, new Uint32Array(32).fill(7));
    const sequence = await trial.filled(4);
    trial.run([{ ...trial.part(sequence, 1), validBounds: 0 }]);
    backend.updateKeySketch(0, { first: 0, count: 1 }, sketch);
    expect([...(await trial.integers(next))].every((word) => word === 7)).toBe(true);
  });

  it("a sequence that shares pages reads their sketches, and each has those of its own tokens", async () => {
    const { trial, sketches } = await openTrial(SHAPES[0]);
    const first = await trial.filled(20);
    step(trial, sketches, [[first, 0]]);
    const fork = forked(first);
    for (let i = 0; i < 6; i++)
      step(trial, sketches, [
        [fork, fork.length],
        [first, first.length],
      ]);
    await expectScores(trial, sketches);
  });

  it("sketches of pages that stay are kept when the pool is resized, smaller and larger", async () => {
    const { trial, sketches } = await openTrial(SHAPES[0]);
    const sequences = [await trial.filled(30), await trial.filled(9)];
    step(
      trial,
      sketches,
      sequences.map((sequence) => [sequence, 0] as const),
    );
    const least = 1 + Math.max(...sequences.flatMap(({ pages }) => pages));
    for (const numPages of [least, NUM_SLOTS / SHAPES[0].pageSize])
      expect(await trial.backend.resizeCache(numPages)).toBe(true);
    step(
      trial,
      sketches,
      sequences.map((sequence) => [sequence, sequence.length] as const),
    );
    await expectScores(trial, sketches);
  });
});

/** Another sequence over the whole pages of one. */
function forked({ pages, keys, rawKeys, values, length }: TrialSequence): TrialSequence {
  const numPages = Math.floor(length / SHAPES[0].pageSize);
  const shared = (layers: readonly Float64Array[][][]) =>
    layers.map((rows) => rows.slice(0, numPages * SHAPES[0].pageSize));
  return {
    pages: pages.slice(0, numPages),
    ...{ keys: shared(keys), rawKeys: shared(rawKeys), values: shared(values) },
    length: numPages * SHAPES[0].pageSize,
  };
}
