/** Time to the first token of a turn whose beginning is cached, beside that of the same turn without. */
import { type BackendChoice, type Engine, openEngine } from "../src/node/index.ts";
import { deviceOption } from "./device.ts";
import { median } from "./statistics.ts";
import { newSalt } from "./token-times.ts";

export interface SharedPrefixOptions {
  /** Tokens of the first turn. */
  readonly shared: number;
  /** Tokens that the second turn adds. */
  readonly added: number;
  readonly rounds: number;
  readonly backend: BackendChoice;
  readonly model?: string;
  readonly threads?: number;
}

export interface SharedPrefixRow {
  readonly backend: string;
  readonly promptTokens: number;
  /** Tokens of the prompt that the second turn found. */
  readonly cachedTokens: number;
  /** Milliseconds from the request to its first token: medians over rounds. */
  readonly withoutMs: number;
  readonly withMs: number;
  readonly speedup: number;
}

/** Tokens of any vocabulary of 256 or more, others in each round. */
function tokensOf(length: number, round: number): readonly number[] {
  return Array.from({ length }, (_, i) => ((i + round) * 7919) % 256);
}

async function firstToken(engine: Engine, tokenIds: readonly number[], cacheSalt: string) {
  const startedAt = performance.now();
  const request = { tokenIds, cacheSalt, maxTokens: 1, ignoreEos: true, temperature: 0 };
  const { usage } = await engine.generate(request).result();
  return { ms: performance.now() - startedAt, cachedTokens: usage.cachedTokens };
}

/** Each round computes a first turn, then the second one with and without it. */
export async function benchSharedPrefix(options: SharedPrefixOptions): Promise<SharedPrefixRow> {
  const { shared, added, rounds, backend, model, threads } = options;
  const contextLength = shared + added + 64;
  const engine = await openEngine({
    ...{ maxConcurrent: 2, contextLength, backend, ...deviceOption() },
    ...(model !== undefined && { model }),
    ...(threads !== undefined && { threads }),
  });
  try {
    await firstToken(engine, tokensOf(512, 0), newSalt()); // warms the compiler and the workers
    const [without, reused]: [number[], number[]] = [[], []];
    let cachedTokens = Number.POSITIVE_INFINITY;
    for (let round = 1; round <= rounds; round++) {
      const turn = tokensOf(shared + added, round);
      const salt = newSalt();
      await firstToken(engine, turn.slice(0, shared), salt);
      const second = await firstToken(engine, turn, salt);
      reused.push(second.ms);
      cachedTokens = Math.min(cachedTokens, second.cachedTokens);
      without.push((await firstToken(engine, turn, newSalt())).ms);
    }
    const [withoutMs, withMs] = [median(without), median(reused)];
    const { name } = engine.report().backend;
    const promptTokens = shared + added;
    return { backend: name, promptTokens, cachedTokens, withoutMs, withMs, speedup: withoutMs / withMs };
  } finally {
    await engine.close();
  }
}
