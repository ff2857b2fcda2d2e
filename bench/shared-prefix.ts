/** Time to the first token of a turn whose beginning is cached, or comes from a saved session, beside that of the same turn without. */
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
  /** Of the first turn as a session: megabytes, milliseconds to make and to load it, and to the first token of the second turn then. */
  readonly sessionMb: number;
  readonly saveMs: number;
  readonly loadMs: number;
  readonly afterLoadMs: number;
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

/** Saves a first turn that is cached, loads it where nothing else is found, and runs the second turn there. */
async function throughSession(engine: Engine, turn: readonly number[], shared: number, cacheSalt: string) {
  const startedAt = performance.now();
  const { bytes } = await engine.saveSession({ tokenIds: turn.slice(0, shared), cacheSalt });
  const savedAt = performance.now();
  const elsewhere = newSalt();
  await engine.loadSession(bytes, { cacheSalt: elsewhere });
  const loadMs = performance.now() - savedAt;
  const { ms, cachedTokens } = await firstToken(engine, turn, elsewhere);
  return {
    sessionMb: bytes.length / 1e6,
    saveMs: savedAt - startedAt,
    loadMs,
    afterLoadMs: ms,
    cachedTokens,
  };
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
    const sessions: Awaited<ReturnType<typeof throughSession>>[] = [];
    let cachedTokens = Number.POSITIVE_INFINITY;
    for (let round = 1; round <= rounds; round++) {
      const turn = tokensOf(shared + added, round);
      const salt = newSalt();
      await firstToken(engine, turn.slice(0, shared), salt);
      const second = await firstToken(engine, turn, salt);
      reused.push(second.ms);
      const session = await throughSession(engine, turn, shared, salt);
      sessions.push(session);
      cachedTokens = Math.min(cachedTokens, second.cachedTokens, session.cachedTokens);
      without.push((await firstToken(engine, turn, newSalt())).ms);
    }
    const [withoutMs, withMs] = [median(without), median(reused)];
    const { name } = engine.report().backend;
    const promptTokens = shared + added;
    const of = (key: "sessionMb" | "saveMs" | "loadMs" | "afterLoadMs") =>
      median(sessions.map((session) => session[key]));
    return {
      ...{ backend: name, promptTokens, cachedTokens, withoutMs, withMs, speedup: withoutMs / withMs },
      ...{
        sessionMb: of("sessionMb"),
        saveMs: of("saveMs"),
        loadMs: of("loadMs"),
        afterLoadMs: of("afterLoadMs"),
      },
    };
  } finally {
    await engine.close();
  }
}
