/** A request goes on after the tokens of an earlier run of it: the tokens of a run without a break, under its own policy. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { RequestError } from "../../src/base/errors.ts";
import { bundledModelFolder, type Engine, type GenerationRequest, openEngine } from "../../src/node/index.ts";

const PROBLEM = "Find qw. Arithmetic is modulo 100.\nab=17\nio=ab-26\nzz=9\nxy=io+zz\nqw=xy+io";
const request: GenerationRequest = {
  messages: [{ role: "user", content: PROBLEM }],
  attention: "less-is-more:budget=64,layers=2+7",
  ...{ temperature: 0.7, topK: 8, seed: 5, maxTokens: 300 },
};

/** The tokens of the parts, markers' included, and the result. */
async function run(engine: Engine, asked: GenerationRequest) {
  const tokenIds: number[] = [];
  let text = "";
  const generation = engine.generate(asked);
  for await (const part of generation) {
    tokenIds.push(...(part.markerTokenIds ?? []), ...part.tokenIds);
    text += part.text;
  }
  return { tokenIds, text, result: await generation.result() };
}

describe("generated tokens of an earlier run", () => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await openEngine({ model: bundledModelFolder(), backend: "wasm", threads: 1 });
  });
  afterAll(() => engine.close());

  test("parts have all tokens but the last, of the end of the sequence, with those of markers", async () => {
    const { tokenIds, result } = await run(engine, request);
    expect(result.text).toContain("</think>");
    expect(tokenIds).toEqual(result.tokenIds.slice(0, -1));
  });

  test("a sampled run cut anywhere goes on with the same tokens, text and parts, and observes every step", async () => {
    const whole = await run(engine, request);
    const { tokenIds } = whole.result;
    const marker = engine.tokenizer.encode("</think>", { addSpecialTokens: false })[0];
    const afterMarker = tokenIds.indexOf(marker ?? -1) + 1;
    expect(afterMarker).toBeGreaterThan(0);
    for (const cut of [1, 40, afterMarker - 1, afterMarker, tokenIds.length - 1]) {
      const lengths: number[] = [];
      const rest = await run(engine, {
        ...request,
        generated: tokenIds.slice(0, cut),
        observer: { wants: [], onStep: ({ length }) => lengths.push(length) },
      });
      expect(rest.result.tokenIds, `cut at ${cut}`).toEqual(tokenIds);
      expect(rest.text).toBe(whole.text);
      expect(rest.tokenIds).toEqual(whole.tokenIds);
      expect(rest.result.finishReason).toBe("stop");
      expect(lengths[0]).toBe(whole.result.usage.promptTokens + 1);
      expect(lengths).toHaveLength(tokenIds.length - 1);
    }
  });

  test("a whole run ends at once as it ended, and one with its limit of tokens too", async () => {
    const { tokenIds, text } = (await run(engine, request)).result;
    const again = await run(engine, { ...request, generated: tokenIds });
    expect(again.result).toMatchObject({ tokenIds, text, finishReason: "stop" });
    const short = await run(engine, { ...request, generated: tokenIds.slice(0, 9), maxTokens: 9 });
    expect(short.result).toMatchObject({ tokenIds: tokenIds.slice(0, 9), finishReason: "length" });
  });

  test("a budget of reasoning counts the tokens of the earlier run", async () => {
    const budget = { ...request, thinkingBudget: 30 };
    const whole = (await run(engine, budget)).result;
    expect(whole.thinking).toEqual({ isCut: true });
    for (const cut of [10, 30, whole.tokenIds.length - 2]) {
      const { result } = await run(engine, { ...budget, generated: whole.tokenIds.slice(0, cut) });
      expect(result.tokenIds, `cut at ${cut}`).toEqual(whole.tokenIds);
      expect(result.thinking).toEqual({ isCut: true });
      expect(result.usage.reasoningTokens).toBe(whole.usage.reasoningTokens);
    }
  });

  test.each<[string, Partial<GenerationRequest>, string]>([
    ["beside logprobs", { logprobs: 2 }, "beside logprobs"],
    ["beside a constraint", { constraint: { choice: ["a", "b"] } }, "beside a constraint"],
    ["outside the vocabulary", { generated: [5, 512] }, "token id 512 is not in the vocabulary"],
    ["beyond the context", { generated: new Array<number>(8192).fill(20) }, "the context holds"],
    ["that are no list", { generated: 7 as unknown as number[] }, "a list of token ids"],
  ])("are refused %s", (_, more, reason) => {
    const asked = { ...request, generated: [20], ...more };
    expect(() => engine.generate(asked)).toThrow(RequestError);
    expect(() => engine.generate(asked)).toThrow(reason);
  });
});
