import type { Engine } from "../../src/node/index.ts";

/** Tokens to feed as decode steps: those from `from` on. */
export interface ForcedText {
  readonly tokenIds: readonly number[];
  readonly from: number;
}

export interface Divergence {
  /** Kullback-Leibler divergence of full attention's next token from the candidate's, in nats: [steps]. */
  readonly nats: Float64Array;
  /** Share of the cache that the decode steps read. */
  readonly attendedFraction: number;
  /** Times of the call, which all candidates share. */
  readonly timings: { readonly prefillMs: number; readonly decodeMs: number };
}

/** A logit so far below the largest has a probability below 1e-17. */
const NEGLIGIBLE = 40;

type Scorer = Pick<Engine, "scoreEach">;

/**
 * Measures how far candidates' predictions are from those of full attention over forced decode steps. One dense prefill serves all; each
 * candidate is a row of the steps. @throws as `engine.scoreEach`
 */
export async function measureDivergence(
  engine: Scorer,
  { tokenIds, from }: ForcedText,
  { attentions, signal }: { readonly attentions: readonly string[]; readonly signal: AbortSignal },
): Promise<Divergence[]> {
  const steps = tokenIds.length - from;
  const nats = attentions.map(() => new Float64Array(steps));
  let probabilities = new Float64Array(0);
  let negativeEntropy = 0;
  const results = await engine.scoreEach({
    ...{ tokenIds, from, signal, attentions: ["full", ...attentions] },
    onLogits(index, position, logits) {
      const row = nats[index - 1];
      if (row !== undefined) {
        row[position - from] = Math.max(0, negativeEntropy - expectedLogProb(probabilities, logits));
        return;
      }
      if (probabilities.length !== logits.length) probabilities = new Float64Array(logits.length);
      const normaliser = logSumExp(logits);
      negativeEntropy = 0;
      for (let i = 0; i < logits.length; i++) {
        const logProb = (logits[i] as number) - normaliser;
        const probability = logProb > -NEGLIGIBLE ? Math.exp(logProb) : 0;
        probabilities[i] = probability;
        if (probability > 0) negativeEntropy += probability * logProb;
      }
    },
  });
  const timings = results[0]?.timings ?? { prefillMs: 0, decodeMs: 0 };
  return nats.map((row, i) => ({
    ...{ nats: row, attendedFraction: results[i + 1]?.attendedFraction ?? 1, timings },
  }));
}

/** Sum of p log q over the vocabulary. A token without probability counts nothing, whatever q says. */
function expectedLogProb(probabilities: Float64Array, logits: Float32Array): number {
  const largest = largestOf(logits);
  let sum = 0;
  let expected = 0;
  for (let i = 0; i < logits.length; i++) {
    const logit = logits[i] as number;
    if (logit > largest - NEGLIGIBLE) sum += Math.exp(logit - largest);
    const probability = probabilities[i] as number;
    if (probability > 0) expected += probability * logit;
  }
  return expected - largest - Math.log(sum);
}

function logSumExp(logits: Float32Array): number {
  const largest = largestOf(logits);
  let sum = 0;
  for (let i = 0; i < logits.length; i++) {
    const below = (logits[i] as number) - largest;
    if (below > -NEGLIGIBLE) sum += Math.exp(below);
  }
  return largest + Math.log(sum);
}

function largestOf(logits: Float32Array): number {
  let largest = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < logits.length; i++) if ((logits[i] as number) > largest) largest = logits[i] as number;
  return largest;
}
