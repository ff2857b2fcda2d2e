import { expect, test } from "vitest";
import { CacheSizer } from "../kv/cache-sizer.ts";
import { PagePool } from "../kv/page-pool.ts";
import { oneSequence } from "../kv/sequence-group.ts";
import { THINK_TAGS } from "../load/reasoning-markers.ts";
import { ActiveRequest, type ResolvedRequest } from "./active-request.ts";
import { Admission } from "./admission.ts";
import { OutputStream } from "./output-stream.ts";
import { PrefixReuse } from "./prefix-reuse.ts";

const tokenizer = {
  encode: () => [],
  decode: () => "",
  decodeStream: () => ({ push: () => "", end: () => "" }),
  minTokens: () => 0,
  tokenId: () => undefined,
  token: () => undefined,
};
const EOS = 7;
const start = { markers: THINK_TAGS, kind: "answer", isAfterMarker: false } as const;
const PLAN: ResolvedRequest = {
  prompt: [1, 2],
  maxTokens: 3,
  policy: {
    name: "full",
    settings: {},
    tokenBudget: 9,
    layerRole: () => ({ attends: "all", selects: false }),
  },
  policyKey: "full",
  prefix: { root: "", reusesDecoded: false },
  sampling: { temperature: 0, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1, seed: 1 },
  eosTokenIds: [EOS],
  stops: [],
  start,
  signal: undefined,
  notes: [],
};

/** Opens an admission with one place and a pool of 8 pages of 4 tokens, allocated unless `memory` limits its growth. */
function opened({
  now,
  maxRunning = 1,
  memory,
}: {
  now?: () => number;
  maxRunning?: number;
  memory?: number;
}) {
  const pool = new PagePool(memory === undefined ? 8 : 0, 4);
  const backend = { resizeCache: async (numPages: number) => numPages <= (memory ?? 8) };
  const sizer = new CacheSizer(pool, backend, {
    firstPages: 1,
    maxPages: 8,
    cachePages: 8,
    idleMs: 1000,
    keepMs: 2000,
  });
  const prefix = new PrefixReuse(pool);
  const admission = new Admission(pool, sizer, { maxRunning, prefix, forget: () => {}, ...(now && { now }) });
  return { admission, pool, sizer, prefix };
}

function request(
  name: string,
  change: Partial<ResolvedRequest> = {},
  decodeStream = tokenizer.decodeStream,
): ActiveRequest {
  const output = new OutputStream({ ...tokenizer, decodeStream }, start, []);
  return new ActiveRequest(name, { ...PLAN, ...change }, output, {
    wake: () => {},
    whyWaiting: () => "",
    numSteps: () => 0,
  });
}

async function finish(generation: ActiveRequest): Promise<readonly string[]> {
  generation.accept(EOS, 0);
  return (await generation.result()).notes;
}

test("a request that waited over 10 s notes the holder of its place; a shorter wait adds no note", async () => {
  let now = 0;
  const { admission } = opened({ now: () => now });
  const [first, second, third] = [request("request 1"), request("request 2"), request("request 3")];
  for (const one of [first, second, third]) admission.queue(one);
  admission.admit();
  expect(admission.running).toEqual([first]);
  now = 9_000;
  expect(await finish(first)).toEqual([]);
  admission.admit();
  expect(admission.running).toEqual([second]);
  now = 21_000;
  expect(await finish(second)).toEqual([]);
  admission.admit();
  expect(await finish(third)).toEqual([
    "waited 21 s for a place: 1 of 1 requests run, 7 of 8 pages of 4 tokens are free; pages are held by request 2 (1)",
  ]);
});

test("the note names logits that hold pages too", async () => {
  const { admission } = opened({});
  const logits = admission.reserve("logits", oneSequence(32));
  admission.queue(request("request 1"));
  admission.admit();
  expect((await logits.group).numPages).toBe(8);
  expect(admission.running).toEqual([]);
  expect(admission.whyWaiting()).toContain(
    "0 of 8 pages of 4 tokens are free; pages are held by logits 1 (8)",
  );
  logits.release();
  admission.admit();
  expect(admission.running).toHaveLength(1);
});

/** Takes a turn of the engine that reads samples at once: one token for each request that has a page. */
function turn(admission: Admission, isPrompt = false): readonly string[] {
  admission.admit();
  const ran = admission.running.filter(({ lacksPage, isFullySampled }) => !lacksPage && !isFullySampled);
  for (const one of ran) {
    const replays = one.cachedTokens === 0;
    expect(one.cache?.grow(replays ? one.tokens.length : 1)).toBe(true);
    one.expect(0);
    one.accept(5, 0);
  }
  if (!isPrompt && ran.length === 0 && admission.relieve()) return turn(admission);
  return ran.map(({ name }) => name);
}

test("a request starts with pages for its prompt and one token; requests take more as they grow, oldest first", () => {
  const { admission, pool } = opened({ maxRunning: 3 });
  const plan = { prompt: [1, 2, 3], maxTokens: 40 };
  const [first, second] = [request("request 1", plan), request("request 2", plan)];
  for (const one of [first, second]) admission.queue(one);
  turn(admission);
  expect([first.numPages, second.numPages, pool.numFree]).toEqual([1, 1, 6]);
  turn(admission);
  turn(admission);
  expect([first.numPages, second.numPages, pool.numFree]).toEqual([2, 2, 4]);
});

test("if pages run out the oldest continues; if all wait admission preempts the youngest; all requests end", async () => {
  let now = 0;
  const { admission, pool } = opened({ maxRunning: 3, now: () => now });
  const plan = { prompt: [1, 2, 3], maxTokens: 24, eosTokenIds: [] };
  const all = [1, 2, 3].map((n) => request(`request ${n}`, plan));
  for (const one of all) admission.queue(one);
  const turns: string[] = [];
  for (; !admission.isIdle && now < 20_000; now += 100) {
    turns.push(
      turn(admission)
        .map((name) => name.slice(-1))
        .join(""),
    );
    pool.checkIntegrity(all.reduce((sum, one) => sum + one.numPages, 0));
  }
  expect(all.map(({ isDone, tokens }) => [isDone, tokens.length])).toEqual(all.map(() => [true, 27]));
  expect(turns[0]).toBe("123");
  const notes = await Promise.all(all.map(async (one) => (await one.result()).notes));
  expect(notes[0]).toEqual([]);
  expect(notes[2]).toEqual([
    expect.stringMatching(
      /^gave its KV pages to older requests once, waited \d+\.\d s for pages and was replayed/,
    ),
  ]);
  expect(pool.numFree).toBe(8);
});

test("a preempted request enters before later ones", () => {
  const { admission } = opened({ maxRunning: 2 });
  const plan = { prompt: [1, 2, 3], maxTokens: 28, eosTokenIds: [] };
  const [first, second] = [request("request 1", plan), request("request 2", plan)];
  for (const one of [first, second]) admission.queue(one);
  for (let i = 0; second.numPreempted === 0 && i < 50; i++) turn(admission);
  const third = request("request 3", plan);
  admission.queue(third);
  for (let i = 0; !first.isDone && i < 50; i++) {
    expect(turn(admission)).toEqual(["request 1"]);
    expect(second.progress.phase).toBe("waiting");
  }
  turn(admission);
  expect(admission.running.map(({ name }) => name)).toEqual(["request 2", "request 3"]);
});

test("a request that no pool can hold fails at once, and the error states its pages", () => {
  const { admission } = opened({});
  admission.checkFits("request 1", 32);
  expect(() => admission.checkFits("request 1", 33)).toThrow(
    "request 1: 33 tokens need 9 KV pages of 4 tokens, and the pool may grow to 8",
  );
});

test("a request that memory cannot hold fails once it is alone, before its start or midway; the next one runs", async () => {
  const { admission, sizer } = opened({ memory: 3 });
  const large = request("request 1", { prompt: Array.from({ length: 13 }, () => 1) });
  const growing = request("request 2", { prompt: [1, 2, 3], maxTokens: 20, eosTokenIds: [] });
  for (const one of [large, growing]) admission.queue(one);
  for (let i = 0; i < 60 && !growing.isDone; i++) {
    admission.admit();
    if (admission.missingPages > 0) await sizer.grow(admission.missingPages);
    else turn(admission);
  }
  await expect(large.result()).rejects.toThrow(
    "request 1: the KV cache of 14 tokens needs 4 pages of 4 tokens; there was memory for 3 of the 8 it may have",
  );
  await expect(growing.result()).rejects.toThrow("request 2: the KV cache of 13 tokens needs 4 pages");
  expect(growing.tokens).toHaveLength(13);
});

test("requests wait for pages of logits: admission preempts none", async () => {
  const { admission } = opened({ maxRunning: 2 });
  const logits = admission.reserve("logits", oneSequence(24));
  const plan = { prompt: [1, 2, 3], maxTokens: 20, eosTokenIds: [] };
  const one = request("request 1", plan);
  admission.queue(one);
  for (let i = 0; i < 10; i++) turn(admission);
  expect([one.lacksPage, one.numPages, admission.relieve()]).toEqual([true, 2, false]);
  logits.release();
  expect(turn(admission)).toEqual(["request 1"]);
});

test.each([
  ["is suspended once the pool has grown", 8, 8, true],
  ["keeps its pages if there is no memory to grow", 4, 3, false],
])("an unread request whose pages do not suffice without growth %s", async (_, memory, numPages, isSuspended) => {
  const { admission, pool, sizer } = opened({ maxRunning: 2, memory });
  const admit = async () => {
    for (admission.admit(); admission.missingPages > 0; admission.admit())
      await sizer.grow(admission.missingPages);
  };
  const unread = request("unread", { prompt: [1, 2, 3, 4], maxTokens: 80 }, () => ({
    ...{ push: () => "x", end: () => "" },
  }));
  admission.queue(unread);
  await admit();
  for (let i = 0; !unread.isPaused; i++) {
    unread.expect(0);
    unread.accept(8, i);
  }
  expect([unread.numPages, pool.numPages]).toEqual([2, 3]);
  const large = request("large", { prompt: Array<number>(25).fill(1) });
  admission.queue(large);
  await admit();
  expect([unread.isSuspended, large.numPages, pool.numPages]).toEqual([
    isSuspended,
    isSuspended ? 7 : 0,
    numPages,
  ]);
});

test("an unread request is not suspended for pages that another request holds, too", () => {
  const { admission, pool, prefix } = opened({ maxRunning: 3 });
  const prompt = Array.from({ length: 16 }, (_, i) => i + 1);
  const unread = request("unread", { prompt, maxTokens: 80 }, () => ({ push: () => "x", end: () => "" }));
  admission.queue(unread);
  admission.admit();
  unread.cache?.grow(16);
  prefix.keepPrefilled(unread, 0, 16);
  const sharing = request("sharing", { prompt: [...prompt, ...prompt.slice(0, 8)], maxTokens: 1 });
  admission.queue(sharing);
  admission.admit();
  expect([sharing.cachedTokens, pool.counts]).toEqual([16, { free: 1, held: 7, cached: 0, total: 8 }]);
  for (let i = 0; !unread.isPaused; i++) {
    unread.expect(0);
    unread.accept(8, i);
  }
  // to suspend it would free one page
  admission.queue(request("new", { prompt: prompt.slice(8) }));
  admission.admit();
  expect([unread.isSuspended, admission.running.length, admission.waiting.length]).toEqual([false, 2, 1]);
  admission.failAll(new Error("the end"));
  expect(pool.counts).toEqual({ free: 4, held: 0, cached: 4, total: 8 });
});
