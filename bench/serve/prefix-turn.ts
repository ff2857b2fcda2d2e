/** The first token of a turn whose beginning the server has computed, beside the same turn without. */
import { median } from "../statistics.ts";
import { freshPrompt } from "./prompts.ts";
import type { MeasuredServer } from "./server.ts";
import { firstTokenMs, streamCompletion } from "./stream.ts";

export interface PrefixTurnOptions {
  /** Tokens of the first turn. */
  readonly sharedTokens: number;
  /** Tokens that the second turn adds. */
  readonly addedTokens: number;
  readonly rounds: number;
}

export interface PrefixTurnRow {
  readonly sharedTokens: number;
  readonly addedTokens: number;
  /** Tokens of the prompt that the server found, as it tells. */
  readonly cachedTokens?: number;
  readonly rounds: number;
  /** Medians over rounds. */
  readonly withoutMs: number;
  readonly withMs: number;
  readonly ratio: number;
  readonly goal: "at least 20 times";
}

/** Each round computes a first turn, then the second one with it and without. */
export async function benchPrefixTurn(
  server: MeasuredServer,
  { sharedTokens, addedTokens, rounds }: PrefixTurnOptions,
): Promise<PrefixTurnRow> {
  await streamCompletion(server, { prompt: freshPrompt(64), maxTokens: 1 }); // warms kernels and connections
  const [without, reused, cached]: [number[], number[], number[]] = [[], [], []];
  for (let round = 0; round < rounds; round++) {
    const turn = freshPrompt(sharedTokens + addedTokens);
    const salt = `turn ${turn.slice(0, 2).join()}`;
    await streamCompletion(server, { prompt: turn.slice(0, sharedTokens), maxTokens: 1, cacheSalt: salt });
    const second = await streamCompletion(server, { prompt: turn, maxTokens: 1, cacheSalt: salt });
    reused.push(firstTokenMs(second));
    if (second.cachedTokens !== undefined) cached.push(second.cachedTokens);
    // another server may know no salt: a prompt that it has not seen is as long
    const other = server.isOurs ? turn : freshPrompt(sharedTokens + addedTokens);
    const alone = await streamCompletion(server, {
      prompt: other,
      maxTokens: 1,
      cacheSalt: `${salt}, alone`,
    });
    without.push(firstTokenMs(alone));
  }
  const [withoutMs, withMs] = [median(without), median(reused)];
  return {
    ...{ sharedTokens, addedTokens, ...(cached.length > 0 && { cachedTokens: Math.min(...cached) }), rounds },
    ...{ withoutMs, withMs, ratio: withoutMs / withMs, goal: "at least 20 times" },
  };
}
