import type { Engine } from "../../src/node/index.ts";
import { mean, standardErrorOf } from "./choose.ts";
import type { ForcedText } from "./divergence.ts";

/** A setting beside full attention on text that the search has not seen. */
export interface Checked {
  readonly spec: string;
  /** Loss above that of full attention, nats a token. */
  readonly extraLoss: number;
  /** 95 % interval of the paired difference. */
  readonly interval: readonly [low: number, high: number];
  readonly attendedFraction: number;
}

const NORMAL_95 = 1.96;

/** Scores forced tokens of the texts under each setting, paired token by token with full attention. */
export async function checkSettings(
  engine: Pick<Engine, "scoreEach">,
  texts: readonly ForcedText[],
  {
    specs,
    signal,
    hasTime,
  }: {
    readonly specs: readonly string[];
    readonly signal: AbortSignal;
    /** False ends the check after the first text at the earliest. */
    readonly hasTime: () => boolean;
  },
): Promise<Checked[]> {
  const extra = specs.map((): number[] => []);
  const read = specs.map((): number[] => []);
  for (const [done, { tokenIds, from }] of texts.entries()) {
    if (done > 0 && !hasTime()) break;
    const [full, ...others] = await engine.scoreEach({
      tokenIds,
      from,
      attentions: ["full", ...specs],
      signal,
    });
    for (const [i, { logProbs, attendedFraction }] of others.entries()) {
      for (const [t, logProb] of logProbs.entries()) extra[i]?.push((full?.logProbs[t] ?? 0) - logProb);
      read[i]?.push(attendedFraction);
    }
  }
  return specs.map((spec, i) => {
    const differences = extra[i] ?? [];
    const extraLoss = mean(differences);
    const margin = NORMAL_95 * standardErrorOf(differences);
    return {
      spec,
      extraLoss,
      interval: [extraLoss - margin, extraLoss + margin],
      attendedFraction: mean(read[i] ?? []),
    };
  });
}
