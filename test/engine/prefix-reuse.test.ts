/** Requests share what prefill computed: the same tokens and the same bits follow, whatever made the pages. */
import { afterAll, afterEach, describe, expect, test } from "vitest";
import type { Backend, BackendFactory } from "../../src/backend/backend.ts";
import type { GenerationEngine } from "../../src/engine/engine.ts";
import type { GenerationRequest, GenerationResult } from "../../src/engine/request.ts";
import { lessIsMore } from "../../src/index.ts";
import { openFileFolder } from "../../src/node/file-folder.ts";
import { BACKENDS } from "../conformance/backend-table.ts";
import { repositoryPath } from "../golden/open-fixture.ts";
import { openTiny, type TinyOptions } from "./tiny-engine.ts";

const ids = (length: number, from = 0) =>
  Array.from({ length }, (_, i) => 3 + (((from + i) * 37 + (i >> 2) * from) % 300));
const base = { maxTokens: 12, temperature: 0, ignoreEos: true } as const;
const QUEST = "quest:budget=16,page=4,dense-layers=1";
const SKETCH = "key-sketch:budget=16,dense-layers=1";
const SEER = "seer-attention-r:budget=8";
const SIZES = { maxSequenceLength: 256, maxPages: 256, maxBatchRows: 64 };

const opened: GenerationEngine[] = [];
afterEach(async () => {
  for (const engine of opened.splice(0)) await engine.close();
});

/** Rows of each step, and the logits of each sample's first row. */
interface Watched {
  readonly engine: GenerationEngine;
  readonly rows: number[];
  readonly logits: Promise<Float32Array>[];
}

async function watch(open: BackendFactory, options: TinyOptions = {}): Promise<Watched> {
  const watched = await openWatched(open, options);
  opened.push(watched.engine);
  return watched;
}

async function openWatched(open: BackendFactory, options: TinyOptions = {}): Promise<Watched> {
  const rows: number[] = [];
  const logits: Promise<Float32Array>[] = [];
  const watched: BackendFactory = async (model, capacity): Promise<Backend> => {
    const backend = await open(model, capacity);
    const [beginStep, sample] = [backend.beginStep.bind(backend), backend.sample.bind(backend)];
    backend.beginStep = (batch) => {
      rows.push(batch.numRows);
      beginStep(batch);
    };
    backend.sample = (tensor, sampled) => {
      if (sampled.length > 0)
        logits.push(backend.read(tensor).then((all) => Float32Array.from(all.subarray(0, model.vocabSize))));
      return sample(tensor, sampled);
    };
    return backend;
  };
  // a limit on time would size chunks by the load of the machine
  const engine = await openTiny(watched, { runsAhead: false, sizes: SIZES, maxStallMs: 60_000, ...options });
  return { engine, rows, logits };
}

const run = (engine: GenerationEngine, request: GenerationRequest): Promise<GenerationResult> =>
  engine.generate({ ...base, ...request }).result();

/** Engines in which no request shares anything. */
const plain = new Map<BackendFactory, Promise<Watched>>();
afterAll(async () => {
  for (const watched of plain.values()) await (await watched).engine.close();
});

/** Tokens, and the logits of every one of them, of a request that shares nothing. */
async function alone(open: BackendFactory, request: GenerationRequest) {
  const watched = plain.get(open) ?? openWatched(open);
  plain.set(open, watched);
  const { engine, logits, rows } = await watched;
  logits.length = 0;
  const { tokenIds, usage } = await run(engine, { ...request, cacheSalt: `alone ${rows.length}` });
  expect(usage.cachedTokens).toBe(0);
  return { tokenIds, logits: await Promise.all(logits) };
}

/** Waits until the engine has taken the pages of ended requests. */
async function idle(engine: GenerationEngine): Promise<void> {
  for (let i = 0; i < 1000 && engine.stats().pages.held > 0; i++) await new Promise(setImmediate);
  expect(engine.stats()).toMatchObject({ running: 0, waiting: 0, pages: { held: 0 } });
}

const sum = (numbers: readonly number[]) => numbers.reduce((total, n) => total + n, 0);
const added = (counts: { readonly free: number; readonly held: number; readonly cached: number }) =>
  counts.free + counts.held + counts.cached;

// no software adapter: it compiles kernels for half a minute, and the pages are the pool's
const onCpu = BACKENDS.filter(({ name }) => !name.startsWith("webgpu"));

describe.each(onCpu)("$name", ({ open }) => {
  test.each([
    ["full", "full"],
    ["full", QUEST],
    ["full", SKETCH],
    [SKETCH, QUEST],
    [QUEST, SKETCH],
    [SEER, SEER],
    [SEER, "full"],
  ])("after %s, a prompt that begins alike computes its end alone under %s, with the same logits to the bit", async (first, second) => {
    const { engine, rows, logits } = await watch(open);
    await run(engine, { tokenIds: ids(90), attention: first });
    for (const tail of [1, 8, 30]) {
      const request = { tokenIds: [...ids(80), ...ids(tail, tail + 4)], attention: second };
      const expected = await alone(open, request);
      rows.length = 0;
      logits.length = 0;
      const result = await run(engine, request);
      const shared = tail === 1 ? 72 : 80;
      expect(result.usage).toMatchObject({
        promptTokens: 80 + tail,
        completionTokens: 12,
        cachedTokens: shared,
      });
      expect(rows).toEqual([80 + tail - shared, ...Array<number>(11).fill(1)]);
      expect(result.tokenIds).toEqual(expected.tokenIds);
      expect(await Promise.all(logits)).toEqual(expected.logits);
    }
  });

  test("a policy with a gate takes no page that was computed without it, and its own pages replace those", async () => {
    const { engine } = await watch(open);
    const request = { tokenIds: ids(90), attention: SEER };
    const expected = await alone(open, request);
    await run(engine, { tokenIds: ids(90), attention: "full" });
    const cachedTokens: number[] = [];
    for (let i = 0; i < 2; i++) {
      const { tokenIds, usage } = await run(engine, request);
      expect(tokenIds).toEqual(expected.tokenIds);
      cachedTokens.push(usage.cachedTokens);
    }
    expect(cachedTokens).toEqual([0, 80]);
    expect((await run(engine, { ...request, attention: "full" })).usage.cachedTokens).toBe(80);
    await idle(engine);
    expect(added(engine.stats().pages)).toBe(engine.stats().pages.total);
  });

  test.each([
    QUEST,
    SKETCH,
  ])("pages with the data of %s after pages without: the next request gets its own tokens", async (attention) => {
    const { engine } = await watch(open, { sizes: { ...SIZES, maxBatchRows: 200 } });
    const shared = ids(48);
    const request = { tokenIds: [...shared, ...ids(48, 3)], attention };
    // the first request's pages of the shared tokens stay in the index, without data; the second's follow, with theirs
    await Promise.all([
      run(engine, { tokenIds: [...shared, ...ids(16, 9)], attention: "full" }),
      run(engine, request),
    ]);
    const longer = { ...request, tokenIds: [...request.tokenIds, ...ids(20, 4)] };
    const { tokenIds, usage } = await run(engine, longer);
    expect(usage.cachedTokens).toBe(96);
    expect(tokenIds).toEqual((await alone(open, longer)).tokenIds);
  });

  test("two requests that rebuild the bounds of the same pages in one step get the tokens that they get alone", async () => {
    const prompts = [ids(10, 5), ids(11, 6), ids(12, 7)].map((tail) => [...ids(160), ...tail]);
    const expected = [];
    for (const tokenIds of prompts)
      expected.push((await alone(open, { tokenIds, attention: QUEST })).tokenIds);
    for (let round = 0; round < 4; round++) {
      const { engine } = await watch(open);
      await run(engine, { tokenIds: ids(160), attention: "full" });
      const results = await Promise.all(
        prompts.map((tokenIds) => run(engine, { tokenIds, attention: QUEST })),
      );
      expect(results.map(({ tokenIds }) => tokenIds)).toEqual(expected);
      expect(results.map(({ usage }) => usage.cachedTokens)).toEqual([160, 160, 160]);
    }
  });

  test("requests of one prompt at once compute it once, and get the tokens that they get alone", async () => {
    const { engine, rows } = await watch(open, { sizes: { ...SIZES, maxBatchRows: 32 } });
    const sampled = [1, 2, 3, 4].map((seed) => ({ tokenIds: ids(150), temperature: 1, seed }));
    const expected = [];
    for (const request of sampled) expected.push((await alone(open, request)).tokenIds);
    const results = await Promise.all(sampled.map((request) => run(engine, request)));
    expect(results.map(({ tokenIds }) => tokenIds)).toEqual(expected);
    expect(new Set(expected.map(String)).size).toBe(4);
    expect(results.map(({ usage }) => usage.cachedTokens)).toEqual([0, 136, 136, 136]);
    const prefill = rows.filter((count) => count > 4);
    expect(sum(prefill)).toBeLessThanOrEqual(150 + 3 * 14 + 4 * prefill.length);
  });
});

describe("on the reference backend", () => {
  const [{ open }] = BACKENDS;

  test("requests of other salts share nothing; those of one salt do", async () => {
    const { engine } = await watch(open);
    const tokenIds = ids(60);
    const cached = async (request: GenerationRequest) => (await run(engine, request)).usage.cachedTokens;
    expect(await cached({ tokenIds, cacheSalt: "a" })).toBe(0);
    expect(await cached({ tokenIds, cacheSalt: "b" })).toBe(0);
    expect(await cached({ tokenIds })).toBe(0);
    expect(await cached({ tokenIds, cacheSalt: "" })).toBe(0);
    for (const salt of [{ cacheSalt: "a" }, { cacheSalt: "b" }, { cacheSalt: "" }, {}])
      expect(await cached({ tokenIds, ...salt })).toBe(48);
  });

  test("requests whose RoPE turns keys by another table share nothing", async () => {
    const folder = await openFileFolder(repositoryPath("test/golden/hf/phi3-longrope"));
    const { engine } = await watch(open, { folder, sizes: { ...SIZES, maxSequenceLength: 300 } });
    const tokenIds = ids(60).map((id) => id % 90);
    const cached = async (maxTokens: number) =>
      (await run(engine, { tokenIds, maxTokens })).usage.cachedTokens;
    // 128 positions or fewer take the short factors
    expect([
      await cached(10),
      await cached(68),
      await cached(69),
      await cached(70),
      await cached(69),
    ]).toEqual([0, 48, 48, 0, 48]);
  });

  test("an answer is computed again in the next turn, unless both turns ask to reuse it under one policy", async () => {
    const second = (first: GenerationResult) => [...ids(41), ...first.tokenIds, ...ids(20, 7)];
    const turn = { tokenIds: ids(41), maxTokens: 60, attention: "less-is-more:budget=12,layers=0" };
    for (const [first, last, cachedTokens] of [
      [{}, {}, 40],
      [{ reusesDecoded: true }, {}, 40],
      [{}, { reusesDecoded: true }, 40],
      [{ reusesDecoded: true }, { reusesDecoded: true }, 96],
      [{ reusesDecoded: true }, { reusesDecoded: true, attention: QUEST }, 40],
    ] as const) {
      const { engine } = await watch(open);
      const before = await run(engine, { ...turn, ...first });
      const request = { ...turn, tokenIds: second(before), maxTokens: 12, ...last };
      const { usage, notes, tokenIds } = await run(engine, request);
      expect(usage.cachedTokens).toBe(cachedTokens);
      const isReused = cachedTokens > 40;
      expect(notes).toEqual(
        isReused ? [expect.stringMatching(/^reuses 56 cached tokens that depend on an earlier/)] : [],
      );
      if (!isReused) expect(tokenIds).toEqual((await alone(open, request)).tokenIds);
      // what was computed after decoded tokens depends on them, too
      const { usage: third } = await run(engine, { ...request, reusesDecoded: false, attention: "full" });
      expect(third.cachedTokens).toBe(isReused ? 40 : 112);
    }
  });

  test("decoded pages of a policy value are not those of another value with equal settings", async () => {
    const { engine } = await watch(open);
    const [one, other] = [0, 1].map(() => lessIsMore({ tokenBudget: 12, selectionLayers: [0] }));
    const first = await run(engine, {
      tokenIds: ids(41),
      maxTokens: 60,
      attention: one as never,
      reusesDecoded: true,
    });
    const tokenIds = [...ids(41), ...first.tokenIds, ...ids(20, 7)];
    const cached = async (attention: unknown) =>
      (await run(engine, { tokenIds, attention: attention as never, reusesDecoded: true })).usage
        .cachedTokens;
    expect(await cached(other)).toBe(40);
    expect(await cached(one)).toBeGreaterThan(90);
  });

  test("if the request that computes a prompt is aborted, the next one computes the rest", async () => {
    const controller = new AbortController();
    const { engine, rows } = await watch(open, { sizes: { ...SIZES, maxBatchRows: 16 }, prefillRows: 16 });
    const tokenIds = ids(150);
    const first = engine.generate({ ...base, tokenIds, signal: controller.signal });
    const others = [1, 2].map(() => engine.generate({ ...base, tokenIds }));
    for (let i = 0; i < 1000 && first.progress.cachedTokens < 48; i++) await new Promise(setImmediate);
    controller.abort();
    await expect(first.result()).rejects.toThrow("aborted");
    const results = await Promise.all(others.map((one) => one.result()));
    const expected = (await alone(open, { tokenIds })).tokenIds;
    expect(results.map((result) => result.tokenIds)).toEqual([expected, expected]);
    expect(sum(rows.filter((count) => count > 2))).toBeLessThan(2 * 150);
    const [second, third] = results.map(({ usage }) => usage.cachedTokens);
    expect(second).toBeGreaterThanOrEqual(48);
    expect(third).toBe(136);
  });

  test("cached pages give way before a request waits or is preempted; the oldest go first", async () => {
    const { engine } = await watch(open, {
      sizes: { maxSequenceLength: 96, maxPages: 24, maxBatchRows: 64 },
    });
    const cached = async (from: number) =>
      (await run(engine, { tokenIds: ids(40, from), maxTokens: 4 })).usage.cachedTokens;
    // 8 pages of each prompt stay
    expect([await cached(1), await cached(2), await cached(1), await cached(3)]).toEqual([0, 0, 32, 0]);
    expect([await cached(1), await cached(2)]).toEqual([32, 8]);
    await idle(engine);
    const { pages, preempted, prefix } = engine.stats();
    expect([added(pages), pages.held, preempted]).toEqual([24, 0, 0]);
    expect(prefix).toEqual({ queries: 6, hits: 3, cachedTokens: 72 });
  });

  test("the pool grows rather than lose a cached page up to one context, and then no more", async () => {
    const { engine } = await watch(open, {
      sizes: { maxSequenceLength: 96, maxPages: 96, maxBatchRows: 64 },
      pool: { firstPages: 2 },
    });
    for (let from = 1; from < 12; from++) await run(engine, { tokenIds: ids(40, from), maxTokens: 4 });
    await idle(engine);
    const { pages } = engine.stats();
    // a request needs 11 pages, a context 24; the pool would pass 24 with another growth
    expect([pages.total, added(pages), pages.held]).toEqual([23, 23, 0]);
  });

  test("a long answer makes the pool grow rather than lose a cached prompt", async () => {
    const { engine } = await watch(open, {
      sizes: { maxSequenceLength: 200, maxPages: 100, maxBatchRows: 64 },
      pool: { firstPages: 2 },
    });
    await run(engine, { tokenIds: ids(48, 1), maxTokens: 2 });
    await run(engine, { tokenIds: ids(8, 2), maxTokens: 120 });
    expect((await run(engine, { tokenIds: ids(48, 1) })).usage.cachedTokens).toBe(40);
  });

  test("a preempted request finds its own prompt again, and gets its tokens", async () => {
    const plan = { maxSequenceLength: 128, maxPages: 36, maxBatchRows: 64 };
    const { engine, rows } = await watch(open, { sizes: plan });
    const requests = [1, 2].map((from) => ({ tokenIds: ids(48, from), maxTokens: 40 }));
    const expected = [];
    for (const request of requests) expected.push((await alone(open, request)).tokenIds);
    rows.length = 0;
    const results = await Promise.all(requests.map((request) => run(engine, request)));
    expect(results.map(({ tokenIds }) => tokenIds)).toEqual(expected);
    await idle(engine);
    const { preempted, waitingPreempted, pages } = engine.stats();
    expect([preempted, waitingPreempted]).toEqual([1, 0]);
    expect(results[1]?.usage.cachedTokens).toBe(0);
    expect(pages.free + pages.cached).toBe(pages.total);
    // both prompts, and of the replay less than the prompt
    expect(sum(rows.filter((count) => count > 2))).toBeLessThan(3 * 48);
  });

  test("an idle pool keeps its cached pages, and gives them up after a long time", async () => {
    const resized: number[] = [];
    const { engine } = await watch(open, {
      pool: { firstPages: 4, idleMs: 20, keepMs: 300 },
      onResize: (numPages) => resized.push(numPages),
    });
    const request = { tokenIds: ids(80), maxTokens: 40 };
    const { tokenIds } = await run(engine, request);
    const until = async (length: number) => {
      for (let i = 0; i < 1000 && resized.length < length; i++)
        await new Promise((done) => setTimeout(done, 2));
    };
    const before = resized.length;
    await until(before + 1);
    expect(resized.slice(before)).toEqual([20]);
    expect((await run(engine, request)).usage.cachedTokens).toBe(72);
    const grown = resized.length;
    await until(grown + 2);
    expect(resized.slice(grown)).toEqual([20, 4]);
    expect(engine.stats().pages).toEqual({ free: 4, held: 0, cached: 0, total: 4 });
    const again = await run(engine, request);
    expect([again.usage.cachedTokens, again.tokenIds]).toEqual([0, tokenIds]);
  });
});
