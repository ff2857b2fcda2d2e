/** The proxy of an engine against the engine itself, and against faults of its thread. */
import { afterEach, describe, expect, it, test } from "vitest";
import { AbortedError, BackendError, ConfigError, RequestError } from "../../src/base/errors.ts";
import type { LoadedEngine } from "../../src/engine/engine-api.ts";
import type { Generation, GenerationPart, GenerationRequest } from "../../src/engine/request.ts";
import { streamingLlm } from "../../src/index.ts";
import { PROTOCOL_VERSION } from "../../src/worker/protocol.ts";
import { BACKENDS } from "../conformance/backend-table.ts";
import { openTiny } from "../engine/tiny-engine.ts";
import { openInThread } from "./in-thread.ts";
import { base, closeAll, closeLater, ids, LARGE, long, openBoth, SPARSE } from "./open-both.ts";

const [{ open }] = BACKENDS;

afterEach(closeAll);

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
async function until(condition: () => boolean): Promise<void> {
  for (let i = 0; i < 1000 && !condition(); i++) await sleep(5);
  expect(condition()).toBe(true);
}

async function partsOf(generation: Generation): Promise<GenerationPart[]> {
  const parts: GenerationPart[] = [];
  for await (const part of generation) parts.push(part);
  return parts;
}

/** What a request gives, without its times. */
async function outcome(engine: LoadedEngine, request: GenerationRequest) {
  const generation = engine.generate(request);
  const parts = await partsOf(generation);
  const { timings, ...result } = await generation.result();
  expect(timings.decodeMs).toBeGreaterThan(0);
  return { parts, result, progress: generation.progress };
}

describe("a request through the proxy", () => {
  test.each<[string, GenerationRequest]>([
    ["greedy", base],
    ["sampled, sparse", { ...long, attention: SPARSE, maxTokens: 90 }],
    ["of a typed array", { ...base, tokenIds: new Uint16Array([1, 2, 3, 4, 5]).subarray(1) }],
    [
      "with penalties and stop tokens",
      { ...base, presencePenalty: 1, logitBias: { 7: -9 }, stopTokenIds: [5], minTokens: 3 },
    ],
    ["of text", { prompt: "一丁丂七", maxTokens: 5, temperature: 0, stop: ["x"] }],
  ])("%s: gives the same parts, result and progress", async (_, request) => {
    const { direct, engine } = await openBoth();
    expect(await outcome(engine, request)).toEqual(await outcome(direct, request));
  });

  it("gives parts and result in any order, each part once", async () => {
    const { direct, engine } = await openBoth();
    const expected = await outcome(direct, long);
    const generation = engine.generate(long);
    expect((await generation.result()).tokenIds).toEqual(expected.result.tokenIds);
    const late = await partsOf(generation);
    expect(late.flatMap((part) => part.tokenIds)).toEqual(expected.parts.flatMap((part) => part.tokenIds));
    expect(await partsOf(generation)).toEqual([]);
    const both = engine.generate(long);
    const [parts, result] = await Promise.all([partsOf(both), both.result()]);
    expect(parts.flatMap((part) => part.tokenIds)).toEqual(result.tokenIds);
  });

  it("sends no parts that nobody reads, and pauses the request", async () => {
    const { direct, engine, received } = await openBoth();
    const generation = engine.generate(long);
    await until(() => generation.progress.generatedTokens > 50);
    await sleep(300);
    expect(received).not.toContain("part");
    expect(generation.progress).toMatchObject({ phase: "decode", generatedTokens: 64 });
    const reading = generation[Symbol.asyncIterator]();
    await reading.next();
    await sleep(300);
    // 64 unread in the engine, 32 at the proxy's side and those that it has taken
    expect(received.filter((type) => type === "part")).toHaveLength(32);
    expect(generation.progress.generatedTokens).toBeLessThanOrEqual(64 + 32);
    const { tokenIds } = await generation.result();
    expect(tokenIds).toEqual((await outcome(direct, long)).result.tokenIds);
  });

  it("is counted by the engine: what runs and waits, and all pages when it has ended", async () => {
    const { direct, engine } = await openBoth();
    const { total } = engine.stats().pages;
    expect(engine.stats()).toEqual(direct.stats());
    const generations = Array.from({ length: 6 }, (_, seed) => engine.generate({ ...long, seed }));
    const results = generations.map((generation) => generation.result());
    await until(() => engine.stats().running > 0 && engine.stats().waiting > 0);
    await results[0];
    expect(engine.stats().prefix.queries).toBeGreaterThan(0);
    await Promise.all(results);
    expect(engine.stats()).toMatchObject({ running: 0, waiting: 0 });
    await until(() => engine.stats().pages.held === 0);
    const { free, held, cached, total: now } = engine.stats().pages;
    expect(free + held + cached).toBe(now);
    expect(now).toBeGreaterThanOrEqual(total);
  });

  it("is counted often until its pages are back, which is later than its end", async () => {
    const direct = await openTiny(open, { sizes: LARGE });
    let isEnded = false;
    let numCounts = 0;
    const engine: LoadedEngine = new Proxy(direct, {
      get(target, key) {
        const value: unknown = Reflect.get(target, key, target);
        if (typeof value !== "function") return value;
        if (key !== "stats") return value.bind(target);
        return () => {
          const stats = target.stats();
          if (isEnded) numCounts++;
          return numCounts < 10 ? { ...stats, pages: { ...stats.pages, held: 1 } } : stats;
        };
      },
    });
    const remote = await openInThread(async () => ({ engine }));
    closeLater(remote.engine, direct);
    await remote.engine.generate(base).result();
    isEnded = true;
    await until(() => remote.engine.stats().pages.held === 0); // five counts, which would take as many seconds if they came at the pace of rest
  });

  it("keeps nothing of a request that ended and that nobody asks for", async () => {
    const { engine, received } = await openBoth();
    for (let i = 0; i < 5; i++) engine.generate(base);
    await until(() => received.filter((type) => type === "finished").length === 5);
  });

  it("is data: a policy, a function or an unknown option is refused at once, with what to do", async () => {
    const { engine } = await openBoth();
    const policy = streamingLlm({ tokenBudget: 8, sinks: 2 });
    const refused = (request: GenerationRequest) => expect(() => engine.generate(request));
    refused({ ...base, attention: policy }).toThrow(/such as "streaming-llm:budget=8,.*sinks=2"/);
    refused({ ...base, attention: policy }).toThrow(RequestError);
    const messages = [{ role: "user", content: "a", made: () => 1 }];
    refused({ messages }).toThrow(/generate: something in it cannot be sent.*plain data/);
    const listeners = { added: 0 };
    const counted = {
      aborted: false,
      addEventListener: () => listeners.added++,
      removeEventListener: () => listeners.added--,
    } as unknown as AbortSignal;
    refused({ messages, signal: counted }).toThrow("something in it cannot be sent");
    expect(listeners.added).toBe(0);
    const constraint = { fillMask: () => {}, accept: () => true, isComplete: false, clone: () => constraint };
    refused({ ...base, constraint }).toThrow("the constraint is a value with functions");
    refused({ ...base, maxTokens: 0 }).toThrow(
      "generate: maxTokens must be a whole number of at least 1, got 0",
    );
    refused({ ...base, budget: 3 } as GenerationRequest).toThrow('unknown option "budget"');
    await expect(engine.score({ tokenIds: ids, from: 4, attention: policy })).rejects.toThrow(RequestError);
    expect((await outcome(engine, base)).parts.length).toBeGreaterThan(0);
  });

  test.each<[string, GenerationRequest]>([
    ["a token out of the vocabulary", { tokenIds: [1, 2, 1e6] }],
    ["a list that is no list of whole numbers", { tokenIds: [1, 2.5] }],
    ["more tokens than the context", { tokenIds: { length: 2 ** 40 } }],
    ["an unknown policy", { ...base, attention: "nope:budget=3" }],
    ["an impossible policy", { ...base, attention: "less-is-more:budget=8,layers=40" }],
    ["a broken layer of an observer", { ...base, observer: { wants: [], layers: [99], onStep: () => {} } }],
  ])("%s: fails with the error of the engine", async (_, request) => {
    const { direct, engine } = await openBoth();
    const thrown = (() => {
      try {
        direct.generate(request);
      } catch (error) {
        return error as Error;
      }
      throw new Error("it did not throw");
    })();
    const generation = engine.generate(request);
    await expect(partsOf(generation)).rejects.toThrow(thrown.message);
    await expect(generation.result()).rejects.toBeInstanceOf(thrown.constructor);
    expect(generation.progress.phase).toBe("done");
  });
});

describe("an abort through the proxy", () => {
  it("by the signal ends the request at once with the signal's reason, and frees its pages", async () => {
    const { inner, engine } = await openBoth();
    const controller = new AbortController();
    const generation = engine.generate({ ...long, signal: controller.signal });
    const reading = generation[Symbol.asyncIterator]();
    await reading.next();
    const reason = new Error("enough");
    controller.abort(reason);
    const error: unknown = await generation.result().catch((one: unknown) => one);
    expect(error).toBeInstanceOf(AbortedError);
    expect((error as Error).cause).toBe(reason);
    await until(() => inner[0]?.progress.phase === "done");
    expect(inner[0]?.progress.generatedTokens).toBeLessThan(200);
  });

  it("that came before the request sends nothing", async () => {
    const { engine, sent } = await openBoth();
    const signal = AbortSignal.abort(new Error("before"));
    await expect(engine.generate({ ...base, signal }).result()).rejects.toThrow(AbortedError);
    await expect(engine.score({ tokenIds: ids, from: 4, signal })).rejects.toThrow("score was aborted");
    expect(sent).toEqual(["open"]);
  });

  it("by leaving the loop ends the request, unless its result is wanted", async () => {
    const { engine, inner } = await openBoth();
    const left = engine.generate(long);
    for await (const _ of left) break;
    await until(() => inner[0]?.progress.phase === "done");
    await expect(left.result()).rejects.toThrow("its consumer stopped iterating");
    const wanted = engine.generate(long);
    const result = wanted.result();
    for await (const _ of wanted) break;
    expect((await result).tokenIds).toHaveLength(300);
  });

  it("of a call rejects it at once", async () => {
    const { engine } = await openBoth();
    const controller = new AbortController();
    const scoring = engine.score({ tokenIds: ids, from: 2, signal: controller.signal });
    controller.abort();
    await expect(scoring).rejects.toThrow("score was aborted");
    expect((await engine.score({ tokenIds: ids, from: 30 })).logProbs).toHaveLength(10);
  });
});

describe("the end of an engine", () => {
  it("by close fails what runs, and later calls, as an engine does", async () => {
    const { engine, isTerminated } = await openBoth();
    const running = engine.generate(long);
    const scoring = engine.score({ tokenIds: ids, from: 2 });
    const failed = [expect(running.result()).rejects.toThrow("the engine was closed")];
    failed.push(expect(scoring).rejects.toThrow(AbortedError));
    await Promise.all([engine.close(), engine.close(), ...failed]);
    expect(isTerminated()).toBe(true);
    expect(() => engine.generate(base)).toThrow("generate: the engine is closed; open a new one");
    await expect(engine.logits(ids)).rejects.toThrow(RequestError);
  });

  it("by its thread fails every generation and call, running and later ones, and never hangs", async () => {
    const { engine, end, isTerminated } = await openBoth();
    const reading = engine.generate(long);
    const iterator = reading[Symbol.asyncIterator]();
    await iterator.next();
    const waiting = [
      engine.generate(long).result(),
      engine.logits(ids),
      engine.score({ tokenIds: ids, from: 2 }),
    ];
    const cause = new Error("crashed");
    end("exit code 7", cause);
    const message = "the engine's worker ended: exit code 7; open a new engine";
    for (const one of waiting) await expect(one).rejects.toThrow(message);
    await expect(partsOf({ [Symbol.asyncIterator]: () => iterator } as Generation)).rejects.toThrow(
      BackendError,
    );
    await expect(engine.generate(base).result()).rejects.toMatchObject({ message, cause });
    await expect(engine.logits(ids)).rejects.toThrow(message);
    expect(isTerminated()).toBe(true);
    expect(engine.failure).toMatchObject({ message });
    await engine.close();
  });

  it("by its backend fails requests with the engine's own error", async () => {
    let isBroken = false;
    const onCall = (step: string) => {
      if (isBroken && step === "beginStep") throw new BackendError("the device is lost");
    };
    const { engine } = await openBoth({ sizes: LARGE, onCall });
    await engine.generate(base).result();
    expect(engine.failure).toBeUndefined();
    isBroken = true;
    const error: unknown = await engine
      .generate(base)
      .result()
      .catch((one: unknown) => one);
    expect(error).toBeInstanceOf(BackendError);
    expect((error as Error).message).toContain("the device is lost");
    expect(engine.failure).toEqual(error); // told before the request's own error
    isBroken = false;
  });
});

describe("opening a proxy", () => {
  it("rejects with the error of the opening, and ends the thread", async () => {
    const open = openInThread(async () => {
      throw new ConfigError("no such backend", { cause: new TypeError("inner") });
    });
    const error: unknown = await open.catch((one: unknown) => one);
    expect(error).toBeInstanceOf(ConfigError);
    expect((error as Error).cause).toBeInstanceOf(TypeError);
  });

  it("rejects by its signal at once", async () => {
    const controller = new AbortController();
    const never = openInThread(() => new Promise(() => {}), { signal: controller.signal });
    setTimeout(() => controller.abort("late"), 20);
    await expect(never).rejects.toMatchObject({ name: "AbortedError", cause: "late" });
  });

  it("reports downloads, and has the report, templates and tokenizer of the engine", async () => {
    const direct = await openTiny(open);
    const progress = { file: "a", doneBytes: 1 } as never;
    const seen: unknown[] = [];
    const { engine } = await openInThread(
      async (_, { onDownload }) => {
        onDownload(progress);
        return { engine: direct };
      },
      { onDownload: (one) => seen.push(one) },
    );
    closeLater(engine, direct);
    expect(seen).toEqual([progress]);
    expect(engine.report()).toEqual(direct.report());
    expect(engine.stats()).toEqual(direct.stats());
    expect(engine.chatTemplates).toEqual(direct.chatTemplates);
    // the tiny engine has a tokenizer that was made of nothing
    expect(() => engine.tokenizer.encode("a")).toThrow("tiny has no tokenizer.json");
    expect(PROTOCOL_VERSION).toBe(3);
  });
});
