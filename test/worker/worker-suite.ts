/** What holds for an engine in a worker, in Node and in browsers: it gives what the engine of the same thread gives. */
import { afterAll, beforeAll, describe, expect, it, test } from "vitest";
import { AbortedError, EngineError, SessionError } from "../../src/base/errors.ts";
import type { LoadedEngine } from "../../src/engine/engine-api.ts";
import type { Generation, GenerationPart, GenerationRequest } from "../../src/engine/request.ts";

const PROBLEM = "Find qw. Arithmetic is modulo 100.\nio=26\nqw=io+7";
const chat: GenerationRequest = { messages: [{ role: "user", content: PROBLEM }], temperature: 0 };
const long: GenerationRequest = { prompt: "a b c", ignoreEos: true, maxTokens: 2000, temperature: 0 };

/** What a request gives, without its times, or the error with which it fails. */
async function outcome(engine: LoadedEngine, request: GenerationRequest) {
  const parts: GenerationPart[] = [];
  try {
    const generation = engine.generate(request);
    for await (const part of generation) parts.push(part);
    const { timings: _, ...result } = await generation.result();
    return { parts, result, progress: generation.progress };
  } catch (error) {
    expect(error).toBeInstanceOf(EngineError);
    const { name, message, code, cause } = error as EngineError;
    return { parts, failed: { name, message, code, cause, class: (error as Error).constructor } };
  }
}

async function firstPart(generation: Generation): Promise<void> {
  expect((await generation[Symbol.asyncIterator]().next()).done).toBe(false);
}

/** open: opens the bundled model on this thread, or in a worker */
export function describeWorker(open: {
  direct(): Promise<LoadedEngine>;
  inWorker(): Promise<LoadedEngine>;
}): void {
  let direct: LoadedEngine;
  let worker: LoadedEngine;
  beforeAll(async () => {
    direct = await open.direct();
    worker = await open.inWorker();
  });
  afterAll(async () => {
    await worker?.close();
    await direct?.close();
  });

  describe("an engine in a worker", () => {
    test.each<[string, GenerationRequest]>([
      ["a chat", chat],
      [
        "sparse, sampled",
        { ...chat, attention: "less-is-more:budget=64,layers=2+7", temperature: 1, seed: 5 },
      ],
      [
        "token ids and a stop text",
        { tokenIds: [20, 21, 22, 23], maxTokens: 30, stop: ["</think>"], temperature: 0 },
      ],
      ["an unknown policy", { ...chat, attention: "nope" }],
      ["a prompt beyond the context", { prompt: "a ".repeat(40_000) }],
      ["a template that refuses", { messages: [{ role: "user", content: [{ type: "image" }] }] }],
      ["no prompt", {}],
    ])("%s: has the same parts, result and errors", async (_, request) => {
      expect(await outcome(worker, request)).toEqual(await outcome(direct, request));
    });

    it("has the same logits, scores and tokenizer", async () => {
      const tokenIds = worker.tokenizer.encode(PROBLEM);
      expect(tokenIds).toEqual(direct.tokenizer.encode(PROBLEM));
      expect(worker.tokenizer.decode(tokenIds)).toBe(direct.tokenizer.decode(tokenIds));
      expect(await worker.logits(tokenIds)).toEqual(await direct.logits(tokenIds));
      const seen = async (engine: LoadedEngine) => {
        const rows: unknown[] = [];
        const attentions = ["full", "streaming-llm:budget=8"];
        const onLogits = (index: number, position: number, logits: Float32Array) =>
          rows.push([index, position, logits.slice(0, 9)]);
        const results = await engine.scoreEach({ tokenIds, from: 5, attentions, onLogits });
        return { rows, logProbs: results.map((result) => result.logProbs) };
      };
      expect(await seen(worker)).toEqual(await seen(direct));
    });

    it("runs many requests at once, each with its own result", async () => {
      const requests = Array.from({ length: 12 }, (_, seed) => ({
        ...chat,
        temperature: 1,
        seed,
        maxTokens: 20 + seed,
      }));
      const answers = await Promise.all(requests.map(async (request) => outcome(worker, request)));
      for (const [i, request] of requests.entries())
        expect(answers[i]).toEqual(await outcome(direct, request));
    });

    it("ends a request by its signal in the middle, and goes on", async () => {
      const controller = new AbortController();
      const generation = worker.generate({ ...long, signal: controller.signal });
      await firstPart(generation);
      controller.abort("enough");
      await expect(generation.result()).rejects.toMatchObject({ name: "AbortedError", cause: "enough" });
      expect((await worker.generate({ ...long, maxTokens: 3 }).result()).tokenIds).toHaveLength(3);
    });

    it("saves a conversation that any engine of the model loads, whose next turn computes what is new alone", async () => {
      const { messages = [] } = chat;
      const { answer } = await worker.generate(chat).result();
      const talked = [...messages, { role: "assistant", content: answer }];
      const next = { ...chat, messages: [...talked, { role: "user", content: PROBLEM }], maxTokens: 20 };
      const saved = await worker.saveSession({ messages: talked });
      expect([saved.decodedTokens, saved.notes]).toEqual([0, []]);
      const here = await direct.saveSession({ messages: talked });
      // it names the model, and no path of this machine
      expect(new TextDecoder().decode(saved.bytes.subarray(0, 2000))).toContain(
        '"model_name":"pico-reasoner"',
      );
      expect(saved.bytes.length).toBe(here.bytes.length);
      expect(saved.bytes.every((byte, i) => byte === here.bytes[i])).toBe(true);
      const expected = await worker.generate(next).result();
      const other = await open.inWorker();
      const { length } = saved.bytes;
      const loaded = await other.loadSession(saved.bytes);
      expect(saved.bytes.length).toBe(length); // they are still the caller's
      expect(loaded).toEqual({ tokens: saved.tokens, decodedTokens: 0, notes: [] });
      const { tokenIds, usage } = await other.generate(next).result();
      expect(usage.cachedTokens).toBe(saved.tokens);
      // the last question, and at most a page before it
      expect(usage.promptTokens - usage.cachedTokens).toBeLessThan(16 + 60);
      expect(tokenIds).toEqual(expected.tokenIds);
      const cut = other.loadSession(saved.bytes.subarray(0, 500));
      await expect(cut).rejects.toBeInstanceOf(SessionError);
      await expect(cut).rejects.toMatchObject({ code: "session", name: "SessionError", reason: "damaged" });
      const aborted = other.saveSession({ messages: talked, signal: AbortSignal.abort("no") });
      await expect(aborted).rejects.toMatchObject({ name: "AbortedError", cause: "no" });
      await expect(other.saveSession({ messages: talked, seed: 1 } as never)).rejects.toThrow(
        "saveSession: unknown",
      );
      await other.close();
    });

    it("ends what runs when it is closed", async () => {
      const other = await open.inWorker();
      const generation = other.generate(long);
      await firstPart(generation);
      const result = expect(generation.result()).rejects.toThrow(AbortedError);
      await other.close();
      await result;
      expect(() => other.generate(long)).toThrow("the engine is closed");
    });
  });
}
