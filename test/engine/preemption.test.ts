/**
 * Requests with more tokens than the KV pool holds get the same results as alone, on every backend. They wait for pages, release
 * them to older requests, and replay their tokens.
 */
import { afterEach, describe, expect, test } from "vitest";
import { OutOfPagesError } from "../../src/base/errors.ts";
import type { GenerationEngine } from "../../src/engine/engine.ts";
import type {
  Generation,
  GenerationProgress,
  GenerationRequest,
  GenerationResult,
} from "../../src/engine/request.ts";
import { BACKENDS } from "../conformance/backend-table.ts";
import { openTiny, type TinyOptions } from "./tiny-engine.ts";

const ids = Array.from({ length: 40 }, (_, i) => 3 + ((i * 37) % 300));
const base = { maxTokens: 24, temperature: 0 };
const sampled = { temperature: 0.9, seed: 7, topK: 50 };
const LESS_IS_MORE = "less-is-more:budget=12,layers=0";
const QUEST = "quest:budget=16,page=4,dense-layers=1";

const SEER = "seer-attention-r:budget=8";

const REQUESTS: readonly GenerationRequest[] = [
  { ...base, tokenIds: ids.slice(0, 20) },
  { ...base, ...sampled, tokenIds: ids.slice(1, 12), attention: QUEST },
  { ...base, ...sampled, tokenIds: ids.slice(2, 20), attention: LESS_IS_MORE },
  { ...base, tokenIds: ids.slice(3, 22), attention: QUEST },
  { ...base, ...sampled, tokenIds: ids.slice(4, 18) },
  { ...base, tokenIds: ids.slice(5, 25), attention: LESS_IS_MORE },
  { ...base, tokenIds: ids.slice(6, 20), attention: SEER },
  { ...base, ...sampled, tokenIds: ids.slice(7, 26), attention: SEER },
];
/** Pages of the longest request, and a few more. */
const NUM_PAGES = 14;
const PREEMPTED =
  /^gave its KV pages to older requests (once|\d+ times), waited \d+\.\d s for pages and was replayed/;

const opened: GenerationEngine[] = [];
afterEach(async () => {
  for (const engine of opened.splice(0)) await engine.close();
});

async function outcome(
  engine: GenerationEngine,
  request: GenerationRequest,
): Promise<Partial<GenerationResult>> {
  const { timings, ...rest } = await engine.generate(request).result();
  return rest;
}

// No software adapter: it compiles kernels for half a minute, and the test concerns the scheduler. GPUs run it.
describe.each(
  BACKENDS.filter(({ cacheDtype, cases }) => cacheDtype === undefined || cases === undefined),
)("$name", ({ open }) => {
  async function openEngine(options: TinyOptions): Promise<GenerationEngine> {
    const engine = await openTiny(open, options);
    opened.push(engine);
    return engine;
  }

  test.each([
    false,
    true,
  ])("in a pool for one of them, eight requests of mixed policies give the same results as alone; runs ahead: %s", async (runsAhead) => {
    const sizes = { maxBatchSequences: 8 };
    const large = await openEngine({ runsAhead, sizes });
    const alone: Partial<GenerationResult>[] = [];
    for (const request of REQUESTS) alone.push(await outcome(large, request));
    const small = await openEngine({
      runsAhead,
      sizes: { ...sizes, maxPages: NUM_PAGES },
      pool: { firstPages: 3 },
    });
    const together = await Promise.all(REQUESTS.map((request) => outcome(small, request)));
    const notes = together.flatMap((one) => one.notes ?? []).filter((note) => PREEMPTED.test(note));
    expect(notes.length).toBeGreaterThan(0);
    for (const [i, { notes: own = [], ...rest }] of together.entries()) {
      expect(own.filter((note) => !PREEMPTED.test(note))).toEqual(alone[i]?.notes);
      expect({ ...rest, notes: alone[i]?.notes }, `request ${i + 1}`).toEqual(alone[i]);
    }
    expect(together[0]?.notes).toEqual(alone[0]?.notes); // the oldest always continues
  });
});

describe("on the reference backend", () => {
  const [{ open }] = BACKENDS;
  async function openEngine(options: TinyOptions): Promise<GenerationEngine> {
    const engine = await openTiny(open, options);
    opened.push(engine);
    return engine;
  }
  const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

  test("a request or logits call that can never fit fails at once; one that fits exactly runs", async () => {
    const engine = await openEngine({ sizes: { maxPages: 8 } });
    const request = { ...base, tokenIds: ids.slice(0, 20) };
    expect(() => engine.generate({ ...request, maxTokens: 14 })).toThrow(OutOfPagesError);
    expect(() => engine.generate({ ...request, maxTokens: 14 })).toThrow(
      "33 tokens need 9 KV pages of 4 tokens, and the pool may grow to 8",
    );
    await expect(engine.logits(ids.slice(0, 33))).rejects.toThrow(OutOfPagesError);
    expect((await engine.generate({ ...request, maxTokens: 13 }).result()).tokenIds).toHaveLength(13);
    expect((await engine.logits(ids.slice(0, 32))).length).toBe(32 * 320);
  });

  test("a request that waits for a page keeps its token in flight while others sample", async () => {
    // requests 1 and 2 fill the pool; request 2 needs its next page one step before request 1 ends
    const requests = [
      { ...base, ...sampled, tokenIds: ids.slice(0, 8), maxTokens: 17 },
      { ...base, ...sampled, tokenIds: ids.slice(3, 10), maxTokens: 20, seed: 3 },
    ];
    const large = await openEngine({ runsAhead: true });
    const alone: unknown[] = [];
    for (const request of requests) alone.push((await large.generate(request).result()).tokenIds);
    for (const maxPages of [7, 8, 9, 10, 11]) {
      const engine = await openEngine({ runsAhead: true, sizes: { maxPages } });
      const results = await Promise.all(requests.map((request) => engine.generate(request).result()));
      expect(
        results.map(({ tokenIds }) => tokenIds),
        `${maxPages} pages`,
      ).toEqual(alone);
    }
  });

  test("an abort of a preempted request ends it and changes no other request", async () => {
    const controller = new AbortController();
    const seen: GenerationProgress[] = [];
    let aborted: Generation | undefined;
    const onCall = (call: string) => {
      const progress = call === "beginStep" ? aborted?.progress : undefined;
      if (progress?.phase !== "waiting" || progress.generatedTokens === 0) return;
      seen.push(progress);
      controller.abort();
    };
    const engine = await openEngine({ sizes: { maxPages: 14 }, onCall });
    const older = engine.generate({ ...base, tokenIds: ids.slice(0, 20) });
    aborted = engine.generate({ ...base, tokenIds: ids.slice(1, 18), signal: controller.signal });
    await expect(aborted.result()).rejects.toThrow("aborted by its signal");
    expect(seen).toMatchObject([{ waitsFor: expect.stringContaining("request 1 (") }]);
    expect((await older.result()).tokenIds).toHaveLength(24);
    expect((await engine.generate({ ...base, tokenIds: ids.slice(1, 18) }).result()).tokenIds).toHaveLength(
      24,
    );
  });

  test("the pool grows with the tokens and shrinks when idle; later requests get the same tokens", async () => {
    const resized: number[] = [];
    const engine = await openEngine({
      sizes: { maxPages: 200, maxSequenceLength: 384 },
      pool: { firstPages: 4, idleMs: 30, keepMs: 60 },
      onResize: (numPages) => resized.push(numPages),
    });
    expect(resized).toEqual([]);
    const request = { ...base, ...sampled, tokenIds: ids, maxTokens: 120 };
    const { tokenIds } = await engine.generate(request).result();
    expect(resized).toEqual([15, 23, 35, 53]);
    expect((await engine.generate(request).result()).tokenIds).toEqual(tokenIds);
    expect(resized).toHaveLength(4);
    for (let i = 0; i < 1000 && resized.length < 6; i++) await sleep(1);
    expect(resized.slice(4)).toEqual([10, 4]); // with the prompt's pages, then without
    expect((await engine.generate(request).result()).tokenIds).toEqual(tokenIds);
  });

  test("closing leaves no timer", async () => {
    const resized: number[] = [];
    const engine = await openEngine({
      pool: { firstPages: 2, idleMs: 20 },
      onResize: (numPages) => resized.push(numPages),
    });
    await engine.generate({ ...base, tokenIds: ids }).result();
    await engine.close();
    const before = resized.length;
    await sleep(60);
    expect(resized).toHaveLength(before);
  });

  test("short of memory, requests take turns in the pool; one that is too long for it fails alone", async () => {
    const engine = await openEngine({ pool: { firstPages: 2 }, memory: 10 });
    const short = { ...base, tokenIds: ids.slice(0, 16) };
    const [one, other, long] = await Promise.allSettled([
      engine.generate(short).result(),
      engine.generate({ ...short, attention: QUEST }).result(),
      engine.generate({ ...base, tokenIds: ids, maxTokens: 9 }).result(),
    ]);
    expect([one, other]).toMatchObject([{ status: "fulfilled" }, { status: "fulfilled" }]);
    expect(long).toMatchObject({
      reason: {
        code: "out-of-pages",
        message: expect.stringContaining("there was memory for 10 of the 48 it may have"),
      },
    });
  });
});
