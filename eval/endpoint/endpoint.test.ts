import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { local, open, request, server } from "../../test/endpoint/endpoint-trial.ts";
import { MODEL, type ServerWays } from "../../test/endpoint/engine-server.ts";
import type { Attempt } from "../attempts/attempt.ts";
import { evaluate } from "../commands/evaluate.ts";
import type { Solver } from "../run/solver.ts";
import { openTask } from "../tasks/registry.ts";

describe("a model behind an endpoint", () => {
  test("answers as the same model here: text, counts of tokens, reason of its end", async () => {
    const solver = await open();
    const [method = { label: "" }] = await solver.bind([]);
    expect(method).toEqual({ label: MODEL });
    for (const given of [{}, { maxTokens: 9 }, { sampling: { temperature: 1.5, topK: 50 }, seed: 7 }]) {
      const here = await local.solve(request({ ...given, method: { label: "full", attention: "full" } }));
      const there = await solver.solve(request({ ...given, method }));
      const { text, promptTokens, completionTokens, finishReason } = here;
      expect(there).toMatchObject({ text, promptTokens, completionTokens, finishReason });
      expect(there.msPerToken).toBeGreaterThanOrEqual(0);
      expect(there.prefillMs).toBeGreaterThan(0);
      expect(there.notes).toBeUndefined();
    }
    expect(solver.report).toMatchObject({
      model: MODEL,
      identity: { protocol: "openai-chat-completions", servedModel: MODEL, root: "models/pico" },
      facts: { endpoint: server.url, streams: true },
    });
    expect(solver.contextLength).toBe(8192);
    const bodies = server.asked.map(({ body }) => body);
    expect(bodies[0]).toEqual({
      ...{ model: MODEL, messages: request().messages, seed: 1, temperature: 0 },
      ...{ stream: true, stream_options: { include_usage: true } },
    });
    expect(bodies[1]).toMatchObject({ max_tokens: 9 });
    expect(bodies[2]).toMatchObject({ temperature: 1.5, top_k: 50, seed: 7 });
  });

  test.each<[string, ServerWays, object]>([
    [
      "takes its reasoning out as reasoning_content",
      { reasoningField: "reasoning_content" },
      { streams: true },
    ],
    ["takes its reasoning out as reasoning", { reasoningField: "reasoning" }, { streams: true }],
    ["counts no tokens in streams", { countsInStreams: false }, { streams: false }],
    ["knows no stream_options", { takesStreamOptions: false }, { streams: false }],
    ["answers a stream by one object", { streams: false }, { streams: true }],
    [
      "takes max_completion_tokens alone",
      { limitField: "max_completion_tokens" },
      { limitField: "max_completion_tokens" },
    ],
    ["lists no models", { listsModels: false }, { streams: true }],
    [
      "counts none and takes its reasoning out",
      { countsInStreams: false, reasoningField: "reasoning_content" },
      { streams: false },
    ],
  ])("gives the same text if its server %s", async (_, ways, facts) => {
    const solver = await open({}, ways);
    for (const given of [{ maxTokens: 400 }, { maxTokens: 9 }]) {
      const here = await local.solve(request({ ...given, method: { label: "full", attention: "full" } }));
      const { text, promptTokens, completionTokens, finishReason } = await solver.solve(request(given));
      expect({ promptTokens, completionTokens, finishReason }).toEqual({
        ...{ promptTokens: here.promptTokens, completionTokens: here.completionTokens },
        finishReason: here.finishReason,
      });
      if (ways.reasoningField === undefined) expect(text).toBe(here.text);
      // The template opens the reasoning in the prompt: the model writes the end of it alone.
      else expect(text.replace(/\s+/g, "")).toBe(`<think>${here.text}`.replace(/\s+/g, ""));
    }
    expect(solver.report.facts).toMatchObject(facts);
  });

  test("is timed without its queue: the time to the first token, and from there the time a token", async () => {
    server.fault = async ({ count }, response) => {
      if (count === 1) return false;
      response.writeHead(200, { "Content-Type": "text/event-stream" });
      const send = (delta: object, more: object = {}) =>
        response.write(`data: ${JSON.stringify({ choices: [{ delta, ...more }] })}\n\n`);
      send({ role: "assistant" });
      await new Promise((resolve) => setTimeout(resolve, 300));
      for (let i = 0; i < 6; i++) {
        send({ content: "x" });
        await new Promise((resolve) => setTimeout(resolve, 40));
      }
      send({}, { finish_reason: "stop" });
      response.end(
        'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":6}}\n\ndata: [DONE]\n\n',
      );
      return true;
    };
    const { prefillMs = 0, msPerToken = 0, decodeMs = 0 } = await (await open()).solve(request());
    expect(prefillMs).toBeGreaterThan(280);
    expect(prefillMs).toBeLessThan(1500);
    expect(msPerToken).toBeCloseTo(decodeMs / 5, 9);
    expect(msPerToken).toBeGreaterThan(35);
    expect(msPerToken).toBeLessThan(300);
  });

  test("solves generated problems as the same model here: rows are equal but for names and times", async () => {
    const folder = mkdtempSync(join(tmpdir(), "lessismore-endpoint-"));
    try {
      const rowsOf = async (name: string, solver: Solver, specs: readonly string[]) => {
        await evaluate(solver, {
          ...{
            out: join(folder, name),
            sampling: { temperature: 0 },
            seed: 3,
            grader: "strict",
            options: {},
          },
          signal: new AbortController().signal,
          parts: [
            {
              ...{
                tasks: [await openTask("registers", { seed: 3 })],
                lengths: [256],
                problems: 2,
                attempts: 1,
              },
              attentions: specs.map((spec) => ({ spec, attention: spec })),
            },
          ],
        });
        const text = readFileSync(join(folder, name, "attempts.jsonl"), "utf8");
        const rows: Attempt[] = text
          .trim()
          .split("\n")
          .map((line) => JSON.parse(line));
        return rows
          .map(({ problemId, score, extracted, response, completionTokens }) =>
            JSON.stringify({ problemId, score, extracted, response, completionTokens }),
          )
          .sort();
      };
      const solver = await open();
      const there = await rowsOf("there", solver, []);
      expect(there.length).toBe(2);
      expect(there).toEqual(await rowsOf("here", local, ["full"]));
      const asked = server.calls.length;
      await rowsOf("there", solver, []);
      expect(server.calls.length).toBe(asked);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test("is asked by as many requests at once as the command says, each with its own seed", async () => {
    const solver = await open({ concurrency: 3 });
    expect(solver.concurrency).toBe(3);
    const seeds = [11, 12, 13];
    await Promise.all(seeds.map((seed) => solver.solve(request({ seed, maxTokens: 40 }))));
    expect(server.mostInFlight).toBe(3);
    expect(server.asked.map(({ body }) => body.seed).sort()).toEqual(seeds);
  });

  test("counts tokens as they come, and the server's count at the end", async () => {
    const solver = await open({}, { reasoningField: "reasoning_content" });
    const before = solver.generatedTokens();
    const { completionTokens } = await solver.solve(request({ maxTokens: 50 }));
    expect(solver.generatedTokens() - before).toBe(completionTokens);
  });

  test("gets the chat template's options, and no attention", async () => {
    const solver = await open();
    await solver.solve(request({ chatTemplateOptions: { enable_thinking: false }, maxTokens: 5 }));
    expect(server.asked[0]?.body.chat_template_kwargs).toEqual({ enable_thinking: false });
    await expect(solver.bind([{ spec: "full", attention: "full" }])).rejects.toThrow(/leave --attention out/);
  });
});
