/** Selections and samples of the sizes of real models, against brute force. Errors are places that differ. */
import type { KeptEnds, SamplingParams } from "../../src/backend/backend.ts";
import { hashUnit } from "../../src/base/random.ts";
import { expandSelection, mergeByRank, samplingDistribution, topK } from "../conformance/brute-force.ts";
import { Random } from "../conformance/random-weights.ts";
import { SelectionTrial } from "../conformance/selection-trial.ts";
import { Trial } from "../conformance/trial.ts";
import { sizesOf } from "../sizes.ts";
import type { GpuRun } from "./gpu.ts";

const NUM_HEADS = 8;
const LENGTHS = [[17, 257, 1025], [4096, 8193, 9000], [32768, 65537], [100_000]];
const QUICK_LENGTHS = [[17, 257]];

const SCORES: Readonly<Record<string, (random: Random, n: number) => Float32Array>> = {
  gaussian: (random, n) => Float32Array.from({ length: n }, () => random.gauss()),
  // ties go to the lower position
  quantised: (random, n) => Float32Array.from({ length: n }, () => Math.round(random.gauss() * 8) / 8),
};

export async function testSelection(run: GpuRun): Promise<void> {
  const batches = run.isQuick ? QUICK_LENGTHS : LENGTHS;
  const maxSequenceLength = Math.max(...batches.flat());
  const shape = { numKvHeads: NUM_HEADS, numQueryHeads: NUM_HEADS, headDim: 8, hiddenSize: 8 };
  const backend = await run.openOn("f16")(
    ...sizesOf({ ...shape, maxPages: 1, maxSequenceLength, maxBatchSequences: 4 }),
  );
  const t = new SelectionTrial(new Trial(backend, 1));
  for (const [kind, draw] of Object.entries(SCORES))
    for (const lengths of batches) {
      const random = new Random(maxSequenceLength);
      const fewest = Math.min(...lengths);
      const ends: KeptEnds = { sinks: 4, recent: Math.min(508, Math.floor(fewest / 4)) };
      const count = Math.min(1536, Math.floor(fewest / 2));
      const rows = lengths.map((n) => Array.from({ length: NUM_HEADS }, () => draw(random, n)));
      const range = { first: 0, count: lengths.length };
      t.begin(lengths);
      const scores = t.scores(rows);
      const [perHead, merged] = [t.units(NUM_HEADS, count), t.units(1, count)];
      const tokens = t.tokens(1, count + ends.sinks + ends.recent);
      backend.topK(range, scores, ends, perHead);
      backend.mergeByRank(range, scores, ends, merged);
      backend.expandSelection(range, merged, ends, tokens);
      const selected = await t.trial.selected(tokens, lengths.length);
      let [wrongTop, wrongMerged, wrongTokens] = [0, 0, 0];
      for (const [s, heads] of rows.entries()) {
        for (const [h, row] of heads.entries())
          wrongTop += missing(topK(row, ends, count), await t.read(perHead, s, h));
        const best = mergeByRank(heads, ends, count);
        wrongMerged += missing(best, await t.read(merged, s, 0));
        const expected = expandSelection(best, 1, lengths[s], ends);
        wrongTokens += expected.filter((position, i) => selected[s][0][i] !== position).length;
      }
      const name = `${kind} scores of ${lengths.join(", ")}`;
      run.rows.add("selection", `topK, ${name}`, { error: wrongTop, bound: 0 });
      run.rows.add("selection", `mergeByRank, ${name}`, { error: wrongMerged, bound: 0 });
      run.rows.add("selection", `expandSelection, ${name}`, { error: wrongTokens, bound: 0 });
    }
  await backend.close();
}

function missing(expected: readonly number[], given: readonly number[]): number {
  const chosen = new Set(given);
  return expected.filter((unit) => !chosen.has(unit)).length;
}

const GREEDY: SamplingParams = { temperature: 0, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1, seed: 1 };
const WAYS: readonly Partial<SamplingParams>[] = [
  {},
  { temperature: 1 },
  { temperature: 0.6, topK: 20, topP: 0.95 },
  { temperature: 0.7, topP: 0.95, minP: 0.001 },
];
/** Sums of f32 may fall on the other side of a border. */
const BORDER = 1e-4;

/** Samples from a vocabulary of a real model's size: a token whose share of the distribution does not hold the draw is wrong. */
export async function testSampling(run: GpuRun): Promise<void> {
  const vocabSize = run.isQuick ? 6000 : 151_936;
  const backend = await run.openOn("f16")(...sizesOf({ vocabSize, hiddenSize: 8 }));
  const trial = new Trial(backend, 1);
  const logits = trial.tensor("f32", 8, vocabSize);
  const row = trial.random.row(vocabSize).map((value) => Math.fround(value * 3));
  const batch = new Float32Array(8 * vocabSize);
  for (let i = 0; i < 8; i++) batch.set(row, i * vocabSize);
  for (const way of WAYS) {
    const params = { ...GREEDY, ...way };
    backend.write(logits, batch);
    const draws = Array.from({ length: 8 }, (_, sampleIndex) => ({ params, sampleIndex, seenTokens: [] }));
    const drawn = await backend.sample(logits, draws).tokens();
    const order = [...samplingDistribution(row, params, [])];
    const isWrong = (id: number, draw: number) => {
      const at = order.findIndex(([token]) => token === id);
      const share = order[at];
      if (!share) return true;
      if (params.temperature === 0) return false;
      const before = order.slice(0, at).reduce((sum, [, probability]) => sum + probability, 0);
      const wanted = hashUnit(params.seed, draw, 0x5a11, 0);
      return wanted < before - BORDER || wanted > before + share[1] + BORDER;
    };
    const error = [...drawn].filter(isWrong).length;
    run.rows.add("sampling", `8 of ${vocabSize} logits by ${JSON.stringify(way)}`, { error, bound: 0 });
  }
  await backend.close();
}
