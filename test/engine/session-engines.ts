/** Engines with a conversation that tests save and load. */
import { expect } from "vitest";
import type { Backend, BackendFactory } from "../../src/backend/backend.ts";
import type { GenerationEngine } from "../../src/engine/engine.ts";
import type { GenerationRequest } from "../../src/engine/request.ts";
import { openTiny, type TinyOptions } from "./tiny-engine.ts";

export const ids = (length: number, from = 0) =>
  Array.from({ length }, (_, i) => 3 + (((from + i) * 37 + (i >> 2) * from) % 300));
export const base = { maxTokens: 12, temperature: 0, ignoreEos: true } as const;
export const QUEST = "quest:budget=16,page=4,dense-layers=1";
export const SEER = "seer-attention-r:budget=8";
export const SPARSE = "less-is-more:budget=12,layers=0";
export const POLICIES = ["full", SPARSE, QUEST, "key-sketch:budget=16,dense-layers=1", SEER];
export const SIZES = { maxSequenceLength: 256, maxPages: 256, maxBatchRows: 64 };

const opened: GenerationEngine[] = [];

export async function closeAll(): Promise<void> {
  for (const engine of opened.splice(0)) await engine.close();
}

/** An engine, and the rows of its steps. */
export async function start(
  open: BackendFactory,
  options: TinyOptions = {},
): Promise<{ readonly engine: GenerationEngine; readonly rows: number[] }> {
  const rows: number[] = [];
  const watched: BackendFactory = async (model, capacity): Promise<Backend> => {
    const backend = await open(model, capacity);
    const beginStep = backend.beginStep.bind(backend);
    backend.beginStep = (batch) => {
      rows.push(batch.numRows);
      beginStep(batch);
    };
    return backend;
  };
  const engine = await openTiny(watched, { runsAhead: false, sizes: SIZES, maxStallMs: 60_000, ...options });
  opened.push(engine);
  return { engine, rows };
}

export const run = (engine: GenerationEngine, request: GenerationRequest) =>
  engine.generate({ ...base, ...request }).result();

/** A first turn, and the conversation after it. */
export async function firstTurn(
  engine: GenerationEngine,
  request: GenerationRequest,
): Promise<readonly number[]> {
  const tokenIds = ids(41);
  const answer = await run(engine, { tokenIds, maxTokens: 30, ...request });
  return [...tokenIds, ...answer.tokenIds];
}

/** Waits until an engine has done all. */
export async function idle(engine: GenerationEngine): Promise<void> {
  for (let i = 0; i < 2000; i++) {
    const { running, waiting, pages } = engine.stats();
    if (running === 0 && waiting === 0 && pages.held === 0) return;
    await new Promise((done) => setTimeout(done, 2));
  }
  throw new Error("the engine is not idle");
}

/** Saves the conversation of one engine, loads it into another, and compares their next turns. isGpu: kernels take seconds to compile */
export async function expectSameTurn(open: BackendFactory, attention: string, isGpu = false): Promise<void> {
  const options = isGpu ? { runsAhead: true } : {};
  const { engine: first } = await start(open, options);
  const conversation = await firstTurn(first, { attention });
  const session = await first.saveSession({ tokenIds: conversation, attention });
  expect([session.tokens, session.decodedTokens, session.notes]).toEqual([64, 0, []]);
  const turn = { tokenIds: [...conversation, ...ids(20, 7)], attention };
  const expected = await run(first, turn);
  expect(expected.usage.cachedTokens).toBe(64);
  const { engine, rows } = await start(open, options);
  // pages that have had other tokens, with data of theirs
  await run(engine, { tokenIds: ids(90, 5), maxTokens: 20, attention });
  const loaded = await engine.loadSession(session.bytes, { attention });
  expect(loaded).toEqual({ tokens: 64, decodedTokens: 0, notes: [] });
  rows.length = 0;
  const { tokenIds, usage } = await run(engine, turn);
  expect(usage.cachedTokens).toBe(64);
  // on a device kernels are prepared by dry runs
  if (!isGpu) expect(rows[0]).toBe(turn.tokenIds.length - 64);
  expect(tokenIds).toEqual(expected.tokenIds);
  // and what is saved again has the same bytes
  const again = await engine.saveSession({ tokenIds: conversation, attention });
  expect(Buffer.compare(again.bytes, session.bytes)).toBe(0);
  if (isGpu) return;
  const { engine: fresh } = await start(open);
  expect(tokenIds).toEqual((await run(fresh, turn)).tokenIds);
}
