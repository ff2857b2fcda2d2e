/**
 * Selections for every group size, at lengths around the edges of pages, splits and workgroups. Scores lie so far apart
 * that rounding cannot change a rank, so the sets must equal those of brute force.
 */
import { afterEach, describe, expect, it } from "vitest";
import type { Backend, KeptEnds } from "../../src/backend/backend.ts";
import { sizesOf } from "../sizes.ts";
import { BACKENDS_AND_ROUNDED } from "./backend-table.ts";
import { expandSelection, headScores, mergeByRank, pageScore, topK } from "./brute-force.ts";
import { Random } from "./random-weights.ts";
import { SelectionTrial } from "./selection-trial.ts";
import { Trial, type TrialBackend } from "./trial.ts";

const GROUP_SIZES = [1, 2, 4, 5, 8];

/** Edges of pages of 16, splits of 64, workgroups of 256 and 1024, and blocks of 4096; one batch a line. */
const LENGTHS = [
  [15, 16, 17, 63],
  [64, 65, 255, 256],
  [257, 1023, 1024, 1025],
  [4095, 4096, 4097],
  [8191, 8192, 8193],
  [65535, 65536, 65537],
  [100_000],
];

/** Draws a ranking of a head's positions, best first, and scores 1/64 apart that produce it. */
function rankedScores(
  random: Random,
  n: number,
): { readonly order: number[]; readonly scores: Float32Array } {
  const order = random.shuffled(Array.from({ length: n }, (_, t) => t));
  const scores = new Float32Array(n);
  order.forEach((t, rank) => {
    scores[t] = (n / 2 - rank) / 64;
  });
  return { order, scores };
}

/** Takes the first `count` distinct positions of the stream of all heads' rank 0, all heads' rank 1, … */
function firstOfStream(orders: readonly (readonly number[])[], count: number): number[] {
  const kept = new Set<number>();
  for (let rank = 0; kept.size < count; rank++)
    for (const order of orders) if (kept.size < count) kept.add(order[rank]);
  return [...kept];
}

describe.each(BACKENDS_AND_ROUNDED)("$name", ({ open, cases, cacheDtype }) => {
  const groupSizes = cases === "few" ? [1, 5, 8] : GROUP_SIZES;
  const lengthsOfBatches = cases === "few" ? LENGTHS.filter((_, i) => i % 2 === 0) : LENGTHS;
  const opened: Backend[] = [];
  afterEach(async () => {
    for (const backend of opened.splice(0)) await backend.close();
  });
  async function openOf(
    groupSize: number,
    maxSequenceLength: number,
    maxPages: number,
  ): Promise<TrialBackend> {
    const backend = await open(
      ...sizesOf({
        numKvHeads: 1,
        numQueryHeads: groupSize,
        headDim: 8,
        hiddenSize: 8,
        maxPages,
        maxSequenceLength,
        maxBatchRows: 1024,
        maxBatchSequences: 4,
      }),
    );
    opened.push(backend);
    return backend;
  }

  it("topK, mergeByRank and expandSelection of up to 100,000 given scores equal brute force", async () => {
    const t = new SelectionTrial(new Trial(await openOf(8, 100_000, 1), 1));
    const { backend } = t.trial;
    const random = new Random(5);
    for (const lengths of lengthsOfBatches)
      for (const heads of groupSizes) {
        const fewest = Math.min(...lengths);
        const ends: KeptEnds = { sinks: 4, recent: Math.min(508, Math.floor(fewest / 4)) };
        const count = Math.min(1536, Math.floor(fewest / 2));
        const ranked = lengths.map((n) => Array.from({ length: heads }, () => rankedScores(random, n)));
        const range = { first: 0, count: lengths.length };
        const capacity = count + ends.sinks + ends.recent;
        t.begin(lengths);
        const scores = t.scores(ranked.map((rows) => rows.map((row) => row.scores)));
        const [perHead, merged] = [t.units(heads, count), t.units(1, count)];
        const [perHeadTokens, mergedTokens] = [t.tokens(heads, capacity), t.tokens(1, capacity)];
        backend.topK(range, scores, ends, perHead);
        backend.mergeByRank(range, scores, ends, merged);
        backend.expandSelection(range, perHead, ends, perHeadTokens);
        backend.expandSelection(range, merged, ends, mergedTokens);
        const ofHeads = await t.trial.selected(perHeadTokens, lengths.length);
        const ofAll = await t.trial.selected(mergedTokens, lengths.length);
        for (const [s, n] of lengths.entries()) {
          const between = ranked[s].map(({ order }) =>
            order.filter((position) => position >= ends.sinks && position < n - ends.recent),
          );
          for (const [h, order] of between.entries())
            expect(ofHeads[s][h]).toEqual(expandSelection(order.slice(0, count), 1, n, ends));
          expect(ofAll[s][0]).toEqual(expandSelection(firstOfStream(between, count), 1, n, ends));
        }
      }
  });

  /** Decodes one token of sequences of `lengths` - 1 cached tokens. */
  async function decodeBatch(groupSize: number, lengths: readonly number[]): Promise<Trial> {
    const numPages = lengths.reduce((sum, n) => sum + Math.ceil(n / 16), 0);
    const trial = new Trial(await openOf(groupSize, 100_000, numPages), groupSize, cacheDtype).withInputs();
    const range = { first: 0, count: 1 };
    const sequences = lengths.map(() => trial.newSequence());
    for (const [s, sequence] of sequences.entries())
      while (sequence.length < lengths[s] - 1) {
        trial.run([trial.part(sequence, Math.min(1024, lengths[s] - 1 - sequence.length))]);
        trial.backend.updatePageBounds(0, range);
      }
    trial.run(sequences.map((sequence) => trial.part(sequence, 1)));
    trial.backend.updatePageBounds(0, { first: 0, count: lengths.length });
    return trial;
  }

  /** Scores of a sequence and its heads by `scoreOf`, which the test needs to lie apart: the best `count` and the next. */
  function separated(
    scores: readonly Float64Array[],
    ends: KeptEnds,
    count: number,
  ): readonly Float64Array[] {
    for (const row of scores) {
      const best = topK(row, ends, count + 1).map((unit) => row[unit]);
      const gaps = best.slice(1).map((score, rank) => best[rank] - score);
      expect(Math.min(...gaps)).toBeGreaterThan(2e-6 * Math.max(...best.map(Math.abs)));
    }
    return scores;
  }

  it.each(
    cases === "few" ? [5] : GROUP_SIZES,
  )("mergeByRank of attention's emitted scores, GQA groups of %i heads", async (heads) => {
    const lengths = [17, 64, 257, 1025];
    const trial = await decodeBatch(heads, lengths);
    const { backend, query, output } = trial;
    const t = new SelectionTrial(trial);
    const range = { first: 0, count: lengths.length };
    const ends: KeptEnds = { sinks: 2, recent: 3 };
    const count = 12;
    const scores = { values: trial.tensor("f32", 4, heads, 1025), heads, unit: 1 };
    const [merged, tokens] = [t.units(1, count), t.tokens(1, count + 5)];
    backend.attendAll(0, range, query, output, scores);
    backend.mergeByRank(range, scores, ends, merged);
    backend.expandSelection(range, merged, ends, tokens);
    const actual = await trial.selected(tokens, lengths.length);
    for (const [s, n] of lengths.entries()) {
      const rows = trial.queries[s].map((q, h) =>
        Float64Array.from(headScores(q, trial.keysOf(trial.parts[s].sequence, 0, h))),
      );
      const best = mergeByRank(separated(rows, ends, count), ends, count);
      expect(actual[s][0]).toEqual(expandSelection(best, 1, n, ends));
    }
  });

  it.each(
    cases === "few" ? [5] : GROUP_SIZES,
  )("the best pages by Quest's bounds, GQA groups of %i heads", async (heads) => {
    const lengths = [255, 257, 2049];
    const trial = await decodeBatch(heads, lengths);
    const { backend, query } = trial;
    const t = new SelectionTrial(trial);
    const range = { first: 0, count: lengths.length };
    const ends: KeptEnds = { sinks: 1, recent: 1 };
    const count = 6;
    const unit = 16;
    const capacity = Math.ceil(Math.max(...lengths) / unit);
    const scores = { values: trial.tensor("f32", 4, heads, capacity), heads, unit };
    const [best, tokens] = [t.units(heads, count, unit), t.tokens(heads, (count + 2) * unit)];
    backend.pageScores(0, range, query, scores);
    backend.topK(range, scores, ends, best);
    backend.expandSelection(range, best, ends, tokens);
    const actual = await trial.selected(tokens, lengths.length);
    for (const [s, n] of lengths.entries()) {
      const rows = trial.queries[s].map((q, h) => {
        const keys = trial.keysOf(trial.parts[s].sequence, 0, h);
        return Float64Array.from({ length: Math.ceil(n / unit) }, (_, page) =>
          pageScore(q, keys.slice(page * unit, (page + 1) * unit)),
        );
      });
      separated(rows, ends, count).forEach((row, h) => {
        expect(actual[s][h]).toEqual(expandSelection(topK(row, ends, count), unit, n, ends));
      });
    }
  });

  it("the best pages by Quest's bounds of 100,000 tokens in repeated pages, ties to the lower page", async () => {
    const [heads, unit, numPages] = [4, 16, 6250];
    const trial = await decodeBatch(heads, [2049]);
    const [{ sequence }] = trial.parts;
    const [distinct, own] = [sequence.pages.slice(0, 128), sequence.pages[128]];
    const long = trial.newSequence();
    for (let page = 0; page < numPages - 1; page++) long.pages.push(distinct[page % 128]);
    long.pages.push(own); // the new token goes into the last one
    long.length = numPages * unit - 1;
    trial.run([trial.part(long, 1)]);
    const { backend, query } = trial;
    const t = new SelectionTrial(trial);
    const range = { first: 0, count: 1 };
    const ends: KeptEnds = { sinks: 1, recent: 1 };
    const count = 90;
    const scores = { values: trial.tensor("f32", 4, heads, numPages), heads, unit };
    const [best, tokens] = [t.units(heads, count, unit), t.tokens(heads, (count + 2) * unit)];
    backend.pageScores(0, range, query, scores);
    backend.topK(range, scores, ends, best);
    backend.expandSelection(range, best, ends, tokens);
    const [actual] = await trial.selected(tokens, 1);
    for (const [h, q] of trial.queries[0].entries()) {
      const keys = trial.keysOf(sequence, 0, h);
      const bounds = Float64Array.from({ length: 128 }, (_, page) =>
        pageScore(q, keys.slice(page * unit, (page + 1) * unit)),
      );
      separated([bounds], { sinks: 0, recent: 0 }, 2); // 90 pages: the best page 48 times and the second 42 times
      const repeated = Float64Array.from({ length: numPages }, (_, page) => bounds[page % 128]);
      expect(actual[h]).toEqual(expandSelection(topK(repeated, ends, count), unit, numPages * unit, ends));
    }
  });
});
