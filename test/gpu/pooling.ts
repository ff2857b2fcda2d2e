/** Pooled scores of the sizes of real models, and scores of candidates, against brute force. */
import type { Pooling } from "../../src/backend/backend.ts";
import { newScores, scoresOf } from "../conformance/attention-trial.ts";
import { headScores, poolScores } from "../conformance/brute-force.ts";
import { nmse, Random } from "../conformance/random-weights.ts";
import { SelectionTrial } from "../conformance/selection-trial.ts";
import { Trial } from "../conformance/trial.ts";
import { sizesOf } from "../sizes.ts";
import type { GpuRun } from "./gpu.ts";

const NUM_HEADS = 8;
/** Largest relative error of a pooled weight: of the device's exp, of sums in f32. */
const POOLING_BOUND = 1e-4;

/** Errors are those of the worst unit; infinite if a masked unit has a score, or another has none. */
export async function testPooling(run: GpuRun): Promise<void> {
  const lengths = run.isQuick ? [17, 257] : [1025, 32768, 100_000];
  const maxSequenceLength = Math.max(...lengths);
  const shape = { numKvHeads: 2, numQueryHeads: NUM_HEADS, headDim: 8, hiddenSize: 8 };
  const backend = await run.openOn("f16")(
    ...sizesOf({ ...shape, maxPages: 1, maxSequenceLength, maxBatchSequences: 4 }),
  );
  const t = new SelectionTrial(new Trial(backend, 1));
  const random = new Random(3);
  const rows = lengths.map((n) =>
    Array.from({ length: NUM_HEADS }, () =>
      Float32Array.from({ length: n }, () => (random.unit() < 0.3 ? -Infinity : 4 * random.gauss())),
    ),
  );
  t.begin(lengths);
  const scores = t.scores(rows);
  for (const how of ["softmax-mean", "max"] as const satisfies readonly Pooling[])
    for (const heads of [2, 1]) {
      const out = newScores(t.trial, heads);
      backend.poolScores({ first: 0, count: lengths.length }, scores, how, out);
      let error = 0;
      for (const [s, given] of rows.entries())
        for (let h = 0; h < heads; h++) {
          const share = NUM_HEADS / heads;
          const expected = poolScores(given.slice(h * share, (h + 1) * share), how);
          const actual = await scoresOf(t.trial, out, s, h, lengths[s]);
          error = Math.max(error, worstUnit(actual, expected));
        }
      const name = `${how} of ${NUM_HEADS} heads into ${heads}, lengths ${lengths.join(", ")}`;
      run.rows.add("pooling", name, { error, bound: how === "max" ? 0 : POOLING_BOUND });
    }
  await backend.close();
}

function worstUnit(actual: Float32Array, expected: readonly number[]): number {
  return expected.reduce((worst, value, unit) => {
    if (actual[unit] === value) return worst;
    return Math.max(worst, Number.isFinite(value) ? Math.abs(actual[unit] / value - 1) : Infinity);
  }, 0);
}

/** NMSE of the scores of every third token, counted from another one in each kv head; infinite if another has a score. */
export async function candidatesError(trial: Trial): Promise<number> {
  const { backend, parts, query } = trial;
  const { numKvHeads, numQueryHeads } = backend.model;
  const positions = parts.map(({ sequence: { length } }) => {
    const count = Math.max(1, Math.floor(length / 3));
    const first = (kvHead: number) => (length < 3 ? 0 : kvHead % 3);
    return Array.from({ length: numKvHeads }, (_, kvHead) =>
      Array.from({ length: count }, (_, i) => first(kvHead) + 3 * i),
    );
  });
  const out = newScores(trial, numQueryHeads);
  const range = { first: 0, count: parts.length };
  const candidates = trial.selection(positions, Math.max(...positions.flat().map((set) => set.length)));
  backend.selectedScores(0, range, query, candidates, out);
  let error = 0;
  for (const [s, { sequence }] of parts.entries())
    for (let h = 0; h < numQueryHeads; h++) {
      const set = positions[s][trial.kvHead(h)];
      const actual = await scoresOf(trial, out, s, h, sequence.length);
      const all = headScores(trial.queries[s][h], trial.keysOf(sequence, 0, h));
      const scored = [...actual.keys()].filter((position) => actual[position] !== -Infinity);
      if (scored.length !== set.length || scored.some((position, i) => position !== set[i])) return Infinity;
      error = Math.max(
        error,
        nmse(
          set.map((position) => actual[position]),
          set.map((position) => all[position]),
        ),
      );
    }
  return error;
}
