import type { Scores } from "../../src/backend/backend.ts";
import { attention } from "./brute-force.ts";
import type { Trial } from "./trial.ts";

/** attendAll by brute force, with the layer's window and the model's scale: [row][query head × headDim]. */
export function attended(trial: Trial, layer = 0): number[][] {
  const { layers, attentionScale } = trial.backend.model;
  const { window = Number.POSITIVE_INFINITY } = layers[layer];
  return trial.parts.flatMap(({ sequence, rows }, s) =>
    rows.map((_, i) => {
      const visible = sequence.length - rows.length + i + 1;
      const first = Math.max(0, visible - window);
      return trial.queries[trial.batch.firstRows[s] + i].flatMap((query, h) => [
        ...attention(
          query,
          trial.keysOf(sequence, layer, h).slice(first, visible),
          trial.valuesOf(sequence, layer, h).slice(first, visible),
          attentionScale,
        ),
      ]);
    }),
  );
}

export function newScores(trial: Trial, heads: number, unit = 1): Scores {
  const { maxBatchSequences, maxSequenceLength } = trial.backend.capacity;
  const capacity = Math.ceil(maxSequenceLength / unit) + 3;
  return { values: trial.tensor("f32", maxBatchSequences, heads, capacity), heads, unit };
}

/** The valid scores of one sequence row and head. */
export async function scoresOf(trial: Trial, scores: Scores, row: number, head: number, units: number) {
  const values = await trial.floats(scores.values);
  const start = (row * scores.heads + head) * scores.values.shape[2];
  return values.slice(start, start + units);
}
