import { expect, test } from "vitest";
import type { Engine, Generation, GenerationRequest } from "../src/node/index.ts";
import { TOKENS_BEFORE, timeStreams } from "./streams.ts";

/** An engine whose requests give a token a turn of the event loop, after as many turns as their prompts have tokens. */
function engineOf(most = Number.POSITIVE_INFINITY) {
  const given: GenerationRequest[] = [];
  const generate = (request: GenerationRequest) => {
    given.push(request);
    return (async function* () {
      for (let turn = 0; turn < (request.tokenIds?.length ?? 0) * given.length; turn++) await nextTurn();
      for (let token = 0; token < most; token++) {
        await nextTurn();
        request.signal?.throwIfAborted();
        yield { kind: "answer", text: "a", tokenIds: [token] };
      }
    })() as unknown as Generation;
  };
  return { given, engine: { generate } satisfies Pick<Engine, "generate"> };
}

const nextTurn = () => new Promise((resolve) => setImmediate(resolve));
const OPTIONS = { sequences: 3, promptTokens: 20, maxTokens: 1000, attention: "full", steps: 40 };

test("streams are timed once all have begun, for so many tokens of the last", async () => {
  const { engine, given } = engineOf();
  const edges: string[] = [];
  const { tokens, intervals, ms, tokensPerSecond } = await timeStreams(engine, {
    ...OPTIONS,
    began: () => edges.push("began"),
    ended: () => edges.push("ended"),
  });
  expect(edges).toEqual(["began", "ended"]);
  expect(given.map(({ seed, topP, stop }) => [seed, topP, stop?.length])).toEqual([
    [1, 0.95, 2],
    [2, 0.95, 2],
    [3, 0.95, 2],
  ]);
  // one more or less of each, by the order of a turn; 60 of the first came before the last began
  expect(tokens).toBeGreaterThanOrEqual(3 * OPTIONS.steps - 3);
  expect(tokens).toBeLessThanOrEqual(3 * OPTIONS.steps + 3);
  expect(intervals).toHaveLength(tokens);
  expect(tokensPerSecond).toBeCloseTo((1000 * tokens) / ms);
  for (const { signal } of given) expect(signal?.aborted).toBe(true);
});

test("a stream that ends before all are timed is an error that says so", async () => {
  const { engine, given } = engineOf(TOKENS_BEFORE + 10);
  await expect(timeStreams(engine, OPTIONS)).rejects.toThrow(
    `timing 3 streams: one ended after ${TOKENS_BEFORE + 10} tokens, before all were timed`,
  );
  for (const { signal } of given) expect(signal?.aborted).toBe(true);
});
