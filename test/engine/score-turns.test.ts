/** Calls of `score` beside requests: they queue for pages, take turns, end by their signal, and fail alone. */
import { afterEach, describe, expect, test } from "vitest";
import type { AttentionPolicy } from "../../src/attention/policy.ts";
import { AbortedError, type EngineError, OutOfPagesError, RequestError } from "../../src/base/errors.ts";
import type { GenerationEngine } from "../../src/engine/engine.ts";
import type { ScoreEachRequest, ScoreRequest } from "../../src/engine/score.ts";
import { streamingLlm } from "../../src/node/index.ts";
import { BACKENDS } from "../conformance/backend-table.ts";
import { openTiny, type TinyOptions } from "./tiny-engine.ts";

const TOKENS = Array.from({ length: 50 }, (_, i) => 3 + ((i * 53) % 300));
const CALL = { tokenIds: TOKENS, from: 30 };
const ATTENTIONS = ["full", "less-is-more:budget=12,layers=0", "quest:budget=16,page=4,dense-layers=1"];
const BASE = { maxTokens: 30, temperature: 0 };
const ids = (start: number) => TOKENS.slice(start, start + 14);

const opened: GenerationEngine[] = [];
afterEach(async () => {
  for (const engine of opened.splice(0)) await engine.close();
});

// A software adapter compiles kernels for half a minute, and the test concerns the engine. GPUs run it.
describe.each(
  BACKENDS.filter(({ cacheDtype, cases }) => cacheDtype === undefined || cases === undefined),
)("$name", ({ open }) => {
  async function openEngine(options: TinyOptions = {}): Promise<GenerationEngine> {
    const engine = await openTiny(open, options);
    opened.push(engine);
    return engine;
  }

  /** An engine whose pool is checked after all calls: an idle engine counts its pages, and fails if one is held. */
  async function expectIdle(engine: GenerationEngine): Promise<void> {
    const { tokenIds } = await engine.generate({ ...BASE, tokenIds: ids(0) }).result();
    await new Promise((resolve) => setTimeout(resolve, 5));
    expect((await engine.generate({ ...BASE, tokenIds: ids(0) }).result()).tokenIds).toEqual(tokenIds);
  }

  test.each([
    false,
    true,
  ])("beside requests, calls and requests get what they get alone; runs ahead: %s", async (runsAhead) => {
    const engine = await openEngine({ runsAhead, sizes: { maxPages: 100 } });
    const scores = () => engine.scoreEach({ ...CALL, attentions: ATTENTIONS });
    const logits = () => engine.logits(TOKENS);
    const texts = ATTENTIONS.map((attention, i) => async () => {
      const { tokenIds } = await engine.generate({ ...BASE, tokenIds: ids(i), attention }).result();
      return tokenIds;
    });
    const values = async () => (await scores()).map(({ logProbs }) => logProbs);
    const alone = [await values(), await logits(), ...(await inTurn(texts))];
    expect(await Promise.all([values(), logits(), ...texts.map((text) => text())])).toEqual(alone);
    await expectIdle(engine);
  });

  test("a call waits for the pages of requests, and requests for those of a call", async () => {
    const engine = await openEngine({ sizes: { maxPages: 14 } }); // a call takes 13, a request up to 11
    const expected = (await engine.score(CALL)).logProbs;
    const [text] = await inTurn([() => engine.generate({ ...BASE, tokenIds: ids(0) }).result()]);
    const first = engine.generate({ ...BASE, tokenIds: ids(0) }).result();
    const calls = [engine.score(CALL), engine.score(CALL)];
    const last = engine.generate({ ...BASE, tokenIds: ids(0) }).result();
    for (const { logProbs } of await Promise.all(calls)) expect(logProbs).toEqual(expected);
    for (const { tokenIds } of await Promise.all([first, last])) expect(tokenIds).toEqual(text?.tokenIds);
    await expectIdle(engine);
  });

  test("a call with more tokens than the pool will ever hold is refused; one that memory has no pages for fails alone", async () => {
    const engine = await openEngine({ sizes: { maxPages: 20 }, memory: 12, pool: { firstPages: 4 } });
    const each = engine.scoreEach({ ...CALL, attentions: ATTENTIONS });
    await expect(each).rejects.toThrow(OutOfPagesError);
    await expect(each).rejects.toThrow("3 sequences of 49 tokens, which share 16, need 31 KV pages");
    await expect(engine.score(CALL)).rejects.toThrow("the KV cache of 49 tokens needs 13 pages");
    await expectIdle(engine);
  });

  test("its signal ends a call before it begins, while it waits for pages, and between steps", async () => {
    const engine = await openEngine({ sizes: { maxPages: 14 } });
    await expect(engine.score({ ...CALL, signal: AbortSignal.abort() })).rejects.toThrow(AbortedError);
    const running = engine.generate({ ...BASE, tokenIds: ids(0) });
    for await (const _ of running) break; // it holds pages
    const controller = new AbortController();
    const holder = engine.score(CALL);
    const waiting = engine.score({ ...CALL, signal: controller.signal });
    controller.abort();
    await expect(waiting).rejects.toThrow(AbortedError);
    await holder;
    const midway = new AbortController();
    const positions: number[] = [];
    const call = engine.score({
      ...CALL,
      signal: midway.signal,
      onLogits: (position) => {
        positions.push(position);
        if (position === 35) midway.abort();
      },
    });
    await expect(call).rejects.toThrow(AbortedError);
    expect(positions.length).toBeLessThanOrEqual(8); // a step may be ahead
    await expectIdle(engine);
  });

  test("a policy or a callback that throws fails its call alone", async () => {
    const engine = await openEngine();
    const expected = (await engine.score(CALL)).logProbs;
    const fails: AttentionPolicy = {
      ...streamingLlm({ tokenBudget: 8 }),
      name: "fails",
      select: () => {
        throw new Error("no selection");
      },
    };
    const calls = await Promise.allSettled([
      engine.scoreEach({ ...CALL, attentions: ["full", fails] }),
      engine.score({
        ...CALL,
        onLogits: () => {
          throw new Error("no callback");
        },
      }),
      engine.score(CALL),
    ]);
    expect(calls.map(({ status }) => status)).toEqual(["rejected", "rejected", "fulfilled"]);
    const [policy, callback, good] = calls;
    expect(policy).toMatchObject({ reason: { message: "attention fails failed: no selection" } });
    expect(callback).toMatchObject({
      reason: { message: expect.stringContaining("onLogits failed at position 30") },
    });
    for (const call of [policy, callback])
      expect((call as PromiseRejectedResult).reason).toBeInstanceOf(RequestError);
    expect((good as PromiseFulfilledResult<{ logProbs: Float32Array }>).value.logProbs).toEqual(expected);
    await expectIdle(engine);
  });

  test("closing the engine ends calls that run and wait, and later calls are refused", async () => {
    const engine = await openEngine({ sizes: { maxPages: 14 } });
    const calls = [engine.score(CALL), engine.score(CALL), engine.logits(TOKENS)];
    const failed = Promise.all(calls.map((call) => expect(call).rejects.toThrow(AbortedError)));
    await engine.close();
    await failed;
    await expect(engine.score(CALL)).rejects.toThrow("the engine is closed");
  });
});

async function inTurn<T>(works: readonly (() => Promise<T>)[]): Promise<T[]> {
  const results: T[] = [];
  for (const work of works) results.push(await work());
  return results;
}

describe("a call that cannot be scored", () => {
  const [row] = BACKENDS;
  test.each<[string, Partial<Record<keyof ScoreRequest, unknown>>, string]>([
    [
      "no tokens",
      { tokenIds: [] },
      "score: expected at least two tokens, of which the first is given, got 0",
    ],
    ["one token", { tokenIds: [1] }, "got 1"],
    ["from 0", { from: 0 }, "score: from must be a whole number of at least 1, got 0"],
    ["no from", { from: undefined }, "score: from must be a whole number of at least 1, got undefined"],
    ["half a token", { from: 1.5 }, "got 1.5"],
    [
      "from past the last token",
      { from: 50 },
      "from must name one of the tokens after the first, 1 to 49, got 50",
    ],
    ["more tokens than the context", { tokenIds: Array(97).fill(5) }, "expected at most 96 tokens"],
    ["a token past the vocabulary", { tokenIds: [1, 320], from: 1 }, "token id 320"],
    ["a text as tokens", { tokenIds: "abc" }, "score: tokenIds must be a list of token ids"],
    ["an unknown policy", { attention: "full-attention" }, "full-attention"],
    ["a policy that does not fit the model", { attention: "less-is-more:layers=7" }, "layer 7"],
    ["a text as callback", { onLogits: "log" }, 'score: onLogits must be a function, got "log"'],
    ["an unknown option", { fromToken: 3 } as object, 'unknown option "fromToken"'],
  ])("with %s is refused by a message that says why", async (_, change, message) => {
    if (!row) throw new Error("there is no backend");
    const engine = await openTiny(row.open);
    const call = engine.score({ ...CALL, ...change } as ScoreRequest);
    await expect(call).rejects.toThrow(message);
    await call.catch((error: EngineError) => expect(error.code).toMatch(/^(REQUEST|CONFIG)/i));
    await engine.close();
  });

  test.each<[string, unknown, string]>([
    ["no policies", [], "a list of 1 to 1024 policies or specs, got []"],
    ["a number as policy", [5], "got 5"],
    ["a text as policies", "full", 'got "full"'],
    ["a hole", ["full", undefined], "got undefined"],
  ])("with %s is refused", async (_, attentions, message) => {
    if (!row) throw new Error("there is no backend");
    const engine = await openTiny(row.open);
    await expect(engine.scoreEach({ ...CALL, attentions } as ScoreEachRequest)).rejects.toThrow(message);
    await engine.close();
  });
});
