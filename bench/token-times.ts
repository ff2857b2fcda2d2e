/** Times of a request's tokens as its consumer sees them. */
import type { Engine } from "../src/node/index.ts";
import { attentionOf } from "./attention.ts";

/** Untimed first tokens: kernels may compile during them, and caches hold other data. */
export const LEAD_TOKENS = 8;

export interface TimedRequest {
  /** Tokens of the prompt; which ones does not matter. */
  readonly promptTokens: number;
  readonly attention: string;
  /** Timed decode steps. */
  readonly steps: number;
}

/** Tokens of context that a timed request takes. */
export function contextOf({ promptTokens, steps }: TimedRequest): number {
  return promptTokens + LEAD_TOKENS + steps + 1;
}

export interface TokenTimes {
  /** Milliseconds from each token to the next, of the timed steps. */
  readonly intervals: readonly number[];
  readonly prefillMs: number;
  readonly attendedFraction: number;
}

/** Ids of a prompt, of any vocabulary of 256 or more. */
export function promptOf(tokens: number): readonly number[] {
  return Array.from({ length: tokens }, (_, i) => (i * 7919) % 256);
}

/**
 * Runs `work` while requests like these generate as well: from after their first tokens until it has ended. Their tokens go
 * unread by anybody, and steps end them.
 */
export async function beside<T>(
  engine: Pick<Engine, "generate">,
  requests: readonly Pick<TimedRequest, "promptTokens" | "attention">[],
  work: () => Promise<T>,
): Promise<T> {
  const end = new AbortController();
  const begun: Promise<void>[] = [];
  const ended: Promise<void>[] = [];
  try {
    for (const { promptTokens, attention } of requests) {
      const generation = engine.generate({
        tokenIds: promptOf(promptTokens),
        cacheSalt: newSalt(),
        attention: await attentionOf(attention),
        ignoreEos: true,
        temperature: 0,
        signal: end.signal,
      });
      let begin = () => {};
      begun.push(
        new Promise((resolve) => {
          begin = resolve;
        }),
      );
      ended.push(
        (async () => {
          try {
            for await (const _ of generation) begin();
          } catch (error) {
            if (!end.signal.aborted) throw error;
          }
        })(),
      );
    }
    await Promise.race([Promise.all(begun), Promise.all(ended)]);
    return await work();
  } finally {
    end.abort();
    await Promise.all(ended);
  }
}

let numSalts = 0;

/** Returns a salt of its own, for a request that prefills all of its prompt although another had the same. */
export function newSalt(): string {
  return `bench ${++numSalts}`;
}

/** started: called when the first timed step begins. */
export async function timeTokens(
  engine: Pick<Engine, "generate">,
  { promptTokens, attention, steps }: TimedRequest,
  started: () => void = () => {},
): Promise<TokenTimes> {
  const generation = engine.generate({
    tokenIds: promptOf(promptTokens),
    cacheSalt: newSalt(),
    attention: await attentionOf(attention),
    maxTokens: LEAD_TOKENS + steps + 1,
    ignoreEos: true,
    temperature: 0,
  });
  const intervals: number[] = [];
  let [tokens, last] = [0, performance.now()];
  for await (const { tokenIds } of generation) {
    const now = performance.now();
    const before = tokens;
    tokens += tokenIds.length;
    for (let token = before; token < tokens; token++)
      if (token > LEAD_TOKENS) intervals.push((now - last) / tokenIds.length);
    if (before <= LEAD_TOKENS && tokens > LEAD_TOKENS) started();
    last = now;
  }
  const { timings, attention: used } = await generation.result();
  return { intervals, prefillMs: timings.prefillMs, attendedFraction: used.attendedFraction };
}
