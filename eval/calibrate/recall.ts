/** Cross-layer recall: how much of a layer's attention the selection of an earlier layer holds. It proposes; divergence decides. */
import type { Engine, StepTrace } from "../../src/node/index.ts";
import {
  type HeadSimilarity,
  headSimilarity,
  layerSimilarity,
  poolWeights,
  type StepWeights,
} from "../kascade/index.ts";
import { selectionOf } from "../metrics/index.ts";
import type { ForcedText } from "./divergence.ts";
import type { Pace } from "./pace.ts";

export interface LayerRecall {
  /** Layers that can select, ascending. */
  readonly layers: readonly number[];
  /**
   * [a][b], by index into `layers`: share of the attention of layer b that the selection of layer a holds. 0 below the diagonal: a
   * layer cannot attend to the selection of a later one.
   */
  readonly shares: readonly (readonly number[])[];
  /** Of kascade: the same by kv heads, by index into `layers`. */
  readonly heads?: HeadSimilarity;
}

export interface RecallOptions {
  /** A policy with selection layers; its selection is asked of every layer, as it merges heads and keeps ends. */
  readonly policy: string;
  readonly tokenBudget: number;
  readonly layers: readonly number[];
  readonly numKvHeads: number;
  /** Takes the time. */
  readonly pace: Pace;
  readonly signal: AbortSignal;
}

/** Traced steps of a text: neighbouring ones are alike, and each reads all keys back. */
const TRACED_STEPS = 8;
/** Steps from one traced step to the next. */
const STRIDE = 4;

/** Traces some forced steps of a text under dense attention. @throws as `engine.score` */
export async function traceRecall(
  engine: Pick<Engine, "score">,
  text: ForcedText,
  options: RecallOptions,
): Promise<LayerRecall> {
  return options.policy === "kascade"
    ? traceHeads(engine, text, options)
    : traceLayers(engine, text, options);
}

/**
 * The dense attention mass of a layer, mean over its query heads and the steps. If every layer is a selection layer, all of them attend
 * to all tokens, and each makes the set that it would make alone: one run serves.
 */
async function traceLayers(
  engine: Pick<Engine, "score">,
  text: ForcedText,
  { policy, tokenBudget, layers, pace, signal }: RecallOptions,
): Promise<LayerRecall> {
  const sum = layers.map(() => layers.map(() => 0));
  let steps = 0;
  const { timings } = await engine.score({
    ...{ ...firstSteps(text), signal },
    attention: `${policy}:budget=${tokenBudget},layers=${layers.join("+")}`,
    observer: {
      ...{ every: STRIDE, layers, wants: ["selection", "weights"] },
      onStep(trace) {
        addShares(sum, trace);
        steps++;
      },
    },
  });
  pace.took(timings, { tokens: text.from, rows: TRACED_STEPS * STRIDE });
  return { layers, shares: sum.map((row) => row.map((share) => share / Math.max(1, steps))) };
}

/** Kascade's similarity: least share over the steps of what the best tokens of a kv head hold of another's. */
async function traceHeads(
  engine: Pick<Engine, "score">,
  text: ForcedText,
  { tokenBudget, layers, numKvHeads, pace, signal }: RecallOptions,
): Promise<LayerRecall> {
  const steps: StepWeights[] = [];
  const { timings } = await engine.score({
    ...{ ...firstSteps(text), signal },
    attention: "full",
    observer: {
      ...{ every: STRIDE, layers, wants: ["weights"] },
      onStep: (trace) =>
        steps.push(trace.layers.map(({ weights }) => poolWeights(weights ?? [], numKvHeads))),
    },
  });
  pace.took(timings, { tokens: text.from, rows: TRACED_STEPS * STRIDE });
  const heads = headSimilarity(steps, tokenBudget);
  return {
    layers,
    heads,
    shares: layerSimilarity(heads).map((row, a) => row.map((x, b) => (b < a ? 0 : x))),
  };
}

function firstSteps({ tokenIds, from }: ForcedText): ForcedText {
  return { tokenIds: tokenIds.slice(0, from + TRACED_STEPS * STRIDE), from };
}

function addShares(sum: number[][], { layers, numQueryHeads }: StepTrace): void {
  for (const [a, row] of sum.entries())
    for (let b = a; b < row.length; b++) {
      const [selects, attends] = [layers[a], layers[b]];
      if (selects?.selection === undefined || attends?.weights === undefined) continue;
      let mass = 0;
      for (const [head, weights] of attends.weights.entries())
        for (const position of selectionOf(selects, head, numQueryHeads) ?? [])
          mass += weights[position] ?? 0;
      row[b] = (row[b] ?? 0) + mass / numQueryHeads;
    }
}
