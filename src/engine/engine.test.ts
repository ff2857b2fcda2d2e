import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import {
  AbortedError,
  type AttentionPolicy,
  type Engine,
  type GenerationRequest,
  openEngine,
  RequestError,
  streamingLlm,
} from "../node/index.ts";

const ids = Array.from({ length: 48 }, (_, i) => 20 + ((i * 37) % 200));
const base = { maxTokens: 10, ignoreEos: true, temperature: 0 };

/** Returns streaming attention with another window but the same name and settings. */
function disguised(tokenBudget: number): AttentionPolicy {
  return { ...streamingLlm({ tokenBudget }), name: "mine", settings: {} };
}

describe("on the bundled model", () => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await openEngine({ backend: "wasm", threads: 1, contextLength: 256 });
  });
  afterAll(() => engine.close());
  const run = async (request: GenerationRequest) => (await engine.generate(request).result()).tokenIds;

  test("concurrent requests get the same tokens as alone, even under two policies of one name and settings", async () => {
    const requests: GenerationRequest[] = [
      { ...base, tokenIds: ids, attention: disguised(8) },
      { ...base, tokenIds: ids, attention: disguised(44) },
      { ...base, tokenIds: ids.slice(5), attention: "less-is-more:budget=24,layers=2+7" },
      { ...base, tokenIds: ids.slice(9), attention: "quest:budget=32" },
      { ...base, tokenIds: ids.slice(20), attention: "full", temperature: 1, seed: 3 },
    ];
    const alone: (readonly number[])[] = [];
    for (const request of requests) alone.push(await run(request));
    expect(alone[0]).not.toEqual(alone[1]);
    expect(await Promise.all(requests.map(run))).toEqual(alone);
  });

  test("an abort before or during a request is an AbortedError; leaving the loop frees the pages", async () => {
    await expect(run({ ...base, tokenIds: ids, signal: AbortSignal.abort() })).rejects.toThrow(AbortedError);
    const controller = new AbortController();
    const generation = engine.generate({ ...base, tokenIds: ids, signal: controller.signal });
    const read = async () => {
      for await (const _ of generation) controller.abort();
    };
    await expect(read()).rejects.toThrow(AbortedError);
    for (let i = 0; i < 5; i++)
      for await (const _ of engine.generate({ tokenIds: ids, ignoreEos: true })) break; // takes every page of a sequence
    expect(await run({ ...base, tokenIds: ids })).toHaveLength(10);
  });

  test("requests remove their listeners from a shared signal when they end", async () => {
    const { signal } = new AbortController();
    const added = vi.spyOn(signal, "addEventListener");
    const removed = vi.spyOn(signal, "removeEventListener");
    for (let i = 0; i < 3; i++) await run({ ...base, tokenIds: ids, maxTokens: 2, signal });
    for await (const _ of engine.generate({ ...base, tokenIds: ids, signal })) break;
    expect(added).toHaveBeenCalledTimes(4);
    expect(removed.mock.calls).toEqual(added.mock.calls);
  });

  test("close ends running requests with an AbortedError and may be called twice", async () => {
    const other = await openEngine({ backend: "wasm", threads: 1, contextLength: 256 });
    const running = other.generate({ ...base, tokenIds: ids }).result();
    const failed = expect(running).rejects.toThrow(AbortedError);
    await other.close();
    await other.close();
    await failed;
    expect(() => other.generate({ tokenIds: ids })).toThrow("the engine is closed");
  });

  test.each<[string, object, string]>([
    ["no source", {}, "got none"],
    ["two sources", { prompt: "a", tokenIds: [1] }, "got 2"],
    ["an empty prompt", { prompt: "" }, "the prompt is empty"],
    ["no messages", { messages: [] }, "got []"],
    ["a message without content", { messages: [{ role: "user" }] }, '{"role":"user"}'],
    ["a number as prompt", { prompt: 5 }, "got 5"],
    ["a token past the vocabulary", { tokenIds: [512] }, "token id 512"],
    ["a negative token", { tokenIds: [-1] }, "token id -1"],
    ["half a token", { tokenIds: [1.5] }, "token id 1.5"],
    ["a prompt as long as the context", { tokenIds: Array(256).fill(40) }, "has 256 tokens"],
    ["an empty stop text", { tokenIds: [1], stop: ["x", ""] }, 'got ""'],
    ["a number as stop", { tokenIds: [1], stop: [5] }, "got 5"],
    ["no tokens", { tokenIds: [1], maxTokens: 0 }, "got 0"],
  ])("%s is a RequestError that names the value", (_, request, value) => {
    const start = () => engine.generate(request as GenerationRequest);
    expect(start).toThrow(RequestError);
    expect(start).toThrow(value);
  });
});
