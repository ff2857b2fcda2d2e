/** Calls that return once, and observers, through the proxy. */
import { afterEach, describe, expect, it, test } from "vitest";
import type { StepTrace } from "../../src/attention/observer.ts";
import { RequestError } from "../../src/base/errors.ts";
import type { LoadedEngine } from "../../src/engine/engine-api.ts";
import { base, closeAll, ids, openBoth, SPARSE } from "./open-both.ts";

afterEach(closeAll);

describe("calls through the proxy", () => {
  it("logits, score and scoreEach give the same numbers, onLogits each position in order", async () => {
    const { direct, engine } = await openBoth();
    expect(await engine.logits(ids)).toEqual(await direct.logits(ids));
    const attentions = ["full", SPARSE];
    const seen = async (one: LoadedEngine) => {
      const positions: unknown[] = [];
      const onLogits = (index: number, position: number, logits: Float32Array) =>
        positions.push([index, position, logits.slice()]);
      const results = await one.scoreEach({ tokenIds: ids, from: 20, attentions, onLogits });
      const single = await one.score({
        ...{ tokenIds: ids, from: 36, attention: SPARSE },
        onLogits: (position, logits) => positions.push([position, logits.slice()]),
      });
      return { positions, logProbs: [...results, single].map((result) => result.logProbs) };
    };
    expect(await seen(engine)).toEqual(await seen(direct));
  });

  it("tokenizePrompt gives the same tokens, and the same refusal", async () => {
    const { direct, engine } = await openBoth();
    const { text, tokenIds } = await engine.tokenizePrompt({ prompt: "一丁丂七" });
    expect([text, tokenIds]).toEqual(["一丁丂七", [0, 1, 2, 3]]);
    for (const wrong of [
      {},
      { prompt: "一", messages: [] },
      { prompt: "a".repeat(1_000_001) },
      { text: "a" },
    ]) {
      const why = await direct.tokenizePrompt(wrong as object).catch((error: unknown) => String(error));
      expect(why).toMatch(/^RequestError: tokenizePrompt: /);
      expect(await engine.tokenizePrompt(wrong as object).catch((error: unknown) => String(error))).toBe(why);
    }
  });

  it("fail with the error of the engine, and of a callback with its own error as cause", async () => {
    const { engine } = await openBoth();
    await expect(engine.logits([1, 1e6])).rejects.toThrow("token id 1000000 is not in the vocabulary");
    await expect(engine.score({ tokenIds: ids, from: 0 })).rejects.toThrow("from must be a whole number");
    await expect(engine.score({ tokenIds: ids, from: 1, wat: 1 } as never)).rejects.toThrow("unknown option");
    await expect(engine.score(5 as never)).rejects.toThrow(RequestError);
    const boom = new Error("boom");
    const onLogits = () => {
      throw boom;
    };
    const failed: unknown = await engine
      .score({ tokenIds: ids, from: 5, onLogits })
      .catch((error: unknown) => error);
    expect(failed).toBeInstanceOf(RequestError);
    expect(failed).toMatchObject({
      message: "score: onLogits failed at position 5: Error: boom",
      cause: boom,
    });
  });

  test.each([
    SPARSE,
    "oracle-top-k:budget=8",
    "less-is-more:budget=8,recency=0.25,sinks=1,layers=0",
  ])("an observer of %s sees the same steps", async (attention) => {
    const { direct, engine } = await openBoth();
    const traces = async (one: LoadedEngine) => {
      const steps: StepTrace[] = [];
      const wants = ["selection", "weights", "output"] as const;
      const observer = { wants, onStep: (trace: StepTrace) => steps.push(trace) };
      await one.generate({ ...base, attention, observer }).result();
      return steps;
    };
    const expected = await traces(direct);
    expect(expected.length).toBe(8);
    expect(expected.some((step) => step.isSparse)).toBe(true);
    expect(await traces(engine)).toEqual(expected);
  });

  it("an observer that throws fails its request alone", async () => {
    const { engine } = await openBoth();
    const onStep = () => {
      throw new Error("seen enough");
    };
    const failing = engine.generate({ ...base, observer: { wants: [], onStep } });
    const beside = engine.generate(base);
    await expect(failing.result()).rejects.toThrow("the observer of the request failed: seen enough");
    expect((await beside.result()).tokenIds).toHaveLength(9);
    await expect(
      (async () => engine.generate({ ...base, observer: { wants: ["all"] } as never }))(),
    ).rejects.toThrow("observer.wants must be a list of");
  });
});
