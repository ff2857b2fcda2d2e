import { expect, test } from "vitest";
import { full } from "../attention/policies/full.ts";
import { PagePool } from "../kv/page-pool.ts";
import { SequenceCache } from "../kv/sequence-cache.ts";
import { THINK_TAGS } from "../load/reasoning-markers.ts";
import { ActiveRequest } from "./active-request.ts";
import { OutputStream } from "./output-stream.ts";
import { PrefixReuse } from "./prefix-reuse.ts";

const start = { markers: THINK_TAGS, kind: "answer", isAfterMarker: false } as const;
const tokenizer = {
  encode: () => [],
  decode: () => "",
  decodeStream: () => ({ push: () => "", end: () => "" }),
  minTokens: () => 0,
  tokenId: () => undefined,
  token: () => undefined,
};

function requestOf(prompt: readonly number[], maxTokens = 8): ActiveRequest {
  const output = new OutputStream(tokenizer, start, []);
  const resolved = {
    ...{ prompt, maxTokens, policy: full(), policyKey: "full", eosTokenIds: [], stops: [], notes: [], start },
    prefix: { root: "", reusesDecoded: true },
    sampling: { temperature: 0, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1, seed: 1 },
    signal: undefined,
  };
  return new ActiveRequest("request", resolved, output, {
    wake: () => {},
    whyWaiting: () => "",
    numSteps: () => 0,
  });
}

const tokens = (length: number, from: number) => Array.from({ length }, (_, i) => from + i);

/** A pool, and what admission and a step do with a request. */
function opened() {
  const pool = new PagePool(32, 4);
  const reuse = new PrefixReuse(pool);
  const startOf = (request: ActiveRequest) => {
    request.admit(new SequenceCache(pool), 0);
    reuse.start(request, []);
    return request.cachedTokens;
  };
  const prefill = (request: ActiveRequest, numRows = request.promptTokens - request.cachedTokens) => {
    const from = request.cachedTokens;
    request.cache?.grow(numRows);
    reuse.keepPrefilled(request, from, numRows);
  };
  const decode = (request: ActiveRequest, answer: readonly number[]) => {
    for (const token of answer) {
      request.expect(0);
      request.accept(token, 0);
      if (!request.isDone) request.cache?.grow(1);
    }
  };
  const end = (request: ActiveRequest) => {
    reuse.keepDecoded(request);
    request.releasePages();
  };
  return { pool, reuse, startOf, prefill, decode, end };
}

test("a replay finds no decoded pages where its request had found none", () => {
  const { pool, startOf, prefill, decode, end } = opened();
  const prompt = tokens(16, 10);
  const answer = tokens(9, 50);
  const preempted = requestOf([...prompt, ...answer.slice(0, 8), ...tokens(9, 90)]);
  expect(startOf(preempted)).toBe(0);
  preempted.releasePages();
  const other = requestOf(prompt, 9);
  startOf(other);
  prefill(other);
  decode(other, answer);
  end(other);
  expect(pool.counts).toMatchObject({ held: 0, cached: 6 });
  expect(startOf(preempted)).toBe(16);
  preempted.releasePages();
  expect(startOf(requestOf([...preempted.tokens]))).toBe(24);
});

test("a request that failed keeps no decoded page; one that was aborted keeps those that it filled", () => {
  for (const [error, cached] of [
    [new Error("boom"), 4],
    [undefined, 5],
  ] as const) {
    const { pool, startOf, prefill, decode, end } = opened();
    const request = requestOf(tokens(16, 10));
    startOf(request);
    prefill(request);
    decode(request, tokens(5, 60));
    if (error) request.fail(error);
    else void request[Symbol.asyncIterator]().return?.();
    expect(request.isDone).toBe(true);
    end(request);
    expect(pool.counts).toMatchObject({ held: 0, cached });
  }
});

test("a chunk of fewer than eight rows, and what follows it, is not shared: it may have other bits", () => {
  const { pool, startOf, prefill, end } = opened();
  const request = requestOf(tokens(60, 10));
  startOf(request);
  prefill(request, 16);
  prefill(request, 4);
  prefill(request);
  request.fail(new Error("the end"));
  end(request);
  expect(pool.counts).toMatchObject({ held: 0, cached: 4 });
});
