/**
 * A sequence with rows of NaN changes no bit of other sequences in its batch, nor of the sequence that gets its pages
 * next.
 */
import { afterEach, describe, expect, it } from "vitest";
import type { Backend } from "../../src/backend/backend.ts";
import { sizesOf } from "../sizes.ts";
import { matrixSpec, vectorSpec } from "../weight-specs.ts";
import { BACKENDS_AND_ROUNDED } from "./backend-table.ts";
import { makeWeight } from "./random-weights.ts";
import { type Part, Trial, type TrialBackend, type TrialSequence } from "./trial.ts";

const SIZES = { hiddenSize: 32, intermediateSize: 48, headDim: 8, vocabSize: 40, pageSize: 8 };

/** Runs steps of one layer, with every kind of pass over the cache for single rows. */
class Layer {
  readonly #trial: Trial;
  readonly #weights: ReturnType<typeof makeWeights>;
  readonly #tensors: ReturnType<typeof makeTensors>;

  readonly #isShort: boolean;

  /** isShort: omits selection, whose kernels take seconds to compile on a software adapter. */
  constructor(backend: TrialBackend, isShort: boolean) {
    this.#isShort = isShort;
    this.#trial = new Trial(backend, 3).withInputs();
    this.#weights = makeWeights(this.#trial);
    this.#tensors = makeTensors(this.#trial);
  }

  get trial(): Trial {
    return this.#trial;
  }

  /** Runs a step; returns all numbers of the parts that are not spoiled. */
  async run(parts: readonly Part[], isSpoiled: (part: Part) => boolean): Promise<number[]> {
    const { backend, x, query, output } = this.#trial;
    const { hiddenSize, vocabSize } = backend.model;
    const all = { first: 0, count: parts.length };
    const isDecode = parts.every(({ rows }) => rows.length === 1);
    this.#trial.run(parts);
    backend.updatePageBounds(0, all);
    const found: number[] = isDecode && !this.#isShort ? await this.#passes(parts, isSpoiled) : [];
    backend.attendAll(0, all, query, output);
    const { o, feedForward } = this.#weights;
    backend.advance({ output: { o }, feedForward }, undefined, { attended: output, x, query });
    const values = await this.#trial.floats(x);
    let row = 0;
    for (const part of parts) {
      const end = row + part.rows.length;
      if (!isSpoiled(part)) found.push(...values.subarray(row * hiddenSize, end * hiddenSize));
      row = end;
    }
    const lastRows = Uint32Array.from(
      parts,
      (_, s) => this.#trial.batch.firstRows[s] + parts[s].rows.length - 1,
    );
    const { norm, head } = this.#weights;
    backend.logits(norm, head, x, lastRows, parts.length, this.#tensors.logits);
    const logits = await this.#trial.floats(this.#tensors.logits);
    for (const [s, part] of parts.entries())
      if (!isSpoiled(part)) found.push(...logits.subarray(s * vocabSize, (s + 1) * vocabSize));
    return found;
  }

  async #passes(parts: readonly Part[], isSpoiled: (part: Part) => boolean): Promise<number[]> {
    const { backend, query, output, batch } = this.#trial;
    const { numQueryHeads: heads, headDim } = backend.model;
    const { pageSize } = backend.capacity;
    const { scores, pageScores, units, selection } = this.#tensors;
    const all = { first: 0, count: parts.length };
    const found: number[] = [];
    const take = (values: ArrayLike<number>, s: number, size: number, count = size) => {
      if (!isSpoiled(parts[s])) for (let i = 0; i < count; i++) found.push(values[s * size + i]);
    };
    backend.attendAll(0, all, query, output, scores);
    backend.pageScores(0, all, query, pageScores);
    backend.mergeByRank(all, scores, { sinks: 1, recent: 2 }, units);
    backend.expandSelection(all, units, { sinks: 1, recent: 2 }, selection);
    backend.attendSelected(0, all, query, selection, output);
    const attended = await this.#trial.floats(output);
    const [tokens, pages] = [
      await this.#trial.floats(scores.values),
      await this.#trial.floats(pageScores.values),
    ];
    const chosen = await this.#trial.integers(selection.indices);
    for (const s of parts.keys()) {
      take(attended, s, heads * headDim);
      take(chosen, s, selection.indices.shape[2], units.count + 3);
      for (let h = 0; h < heads; h++) {
        const at = s * heads + h;
        const capacity = scores.values.shape[2];
        const pageCapacity = pageScores.values.shape[2];
        if (isSpoiled(parts[s])) continue;
        found.push(...tokens.subarray(at * capacity, at * capacity + batch.lengths[s]));
        const numPages = Math.ceil(batch.lengths[s] / pageSize);
        found.push(...pages.subarray(at * pageCapacity, at * pageCapacity + numPages));
      }
    }
    return found;
  }
}

function makeWeights({ backend, random }: Trial) {
  const { hiddenSize: hidden, intermediateSize: wide, numQueryHeads, headDim, vocabSize } = backend.model;
  const make = (rows: number, cols: number) =>
    makeWeight(backend, matrixSpec("w", "bf16", [rows, cols]), random).ref;
  const norm = () => makeWeight(backend, vectorSpec("norm", "bf16", hidden), random).ref;
  return {
    o: make(hidden, numQueryHeads * headDim),
    feedForward: {
      kind: "dense" as const,
      norm: norm(),
      gate: make(wide, hidden),
      up: make(wide, hidden),
      down: make(hidden, wide),
    },
    norm: norm(),
    head: make(vocabSize, hidden),
  };
}

function makeTensors(trial: Trial) {
  const { numQueryHeads: heads, vocabSize } = trial.backend.model;
  const { maxSequenceLength, pageSize } = trial.backend.capacity;
  const count = 5;
  return {
    logits: trial.tensor("f32", 8, vocabSize),
    scores: { values: trial.tensor("f32", 8, heads, maxSequenceLength), heads, unit: 1 },
    pageScores: {
      values: trial.tensor("f32", 8, heads, maxSequenceLength / pageSize),
      heads,
      unit: pageSize,
    },
    units: { units: trial.tensor("u32", 8, 1, count), headGroups: 1, count, unit: 1 },
    selection: { indices: trial.tensor("u32", 8, 1, 16), counts: trial.tensor("u32", 8), headGroups: 1 },
  };
}

/** Runs chunks and decode steps of three sequences, then of a fourth in the pages of the second, which may be spoiled. */
async function history(backend: TrialBackend, isSpoiled: boolean, isShort: boolean): Promise<number[]> {
  const layer = new Layer(backend, isShort);
  const { trial } = layer;
  const [first, second, third, fourth] = Array.from({ length: 4 }, () => trial.newSequence());
  const part = (sequence: TrialSequence, rows: number): Part => {
    const made = trial.part(sequence, rows); // always drawn, so that the other sequences get the same rows
    if (sequence !== second || !isSpoiled) return made;
    return { sequence, rows: made.rows.map((row) => row.fill(Number.NaN)) };
  };
  const spoils = ({ sequence }: Part) => sequence === second;
  const found: number[] = [];
  const step = async (...parts: Part[]) => found.push(...(await layer.run(parts, spoils)));
  await step(part(first, 20), part(second, 37), part(third, 5));
  await step(part(third, 3), part(second, 1), part(first, 1));
  for (let i = 0; i < 2; i++) await step(part(first, 1), part(second, 1), part(third, 1));
  trial.end(second);
  await step(part(first, 1), part(fourth, 19));
  for (let i = 0; i < 2; i++) await step(part(fourth, 1), part(first, 1), part(third, 1));
  await step(part(fourth, 1));
  return found;
}

describe.each(BACKENDS_AND_ROUNDED)("$name", ({ open, cases }) => {
  const isShort = cases !== undefined;
  const opened: Backend[] = [];
  afterEach(async () => {
    for (const backend of opened.splice(0)) await backend.close();
  });

  it("rows of NaN change no bit of other sequences, nor do their freed pages", async () => {
    const [clean, beside] = [await open(...sizesOf(SIZES)), await open(...sizesOf(SIZES))];
    opened.push(clean, beside);
    const expected = await history(clean, false, isShort);
    expect(expected.length).toBeGreaterThan(2000);
    expect(expected.every(Number.isFinite)).toBe(true);
    const found = await history(beside, true, isShort);
    expect(found.findIndex((value, i) => !Object.is(value, expected[i]))).toBe(-1);
    expect(found).toHaveLength(expected.length);
  });
});
