import { expect, it } from "vitest";
import type { Generation, GenerationRequest, GenerationResult } from "../src/node/index.ts";
import { formatAccuracy, measureAccuracy, wilsonInterval } from "./accuracy.ts";
import { chatText, makeProblems } from "./tasks/index.ts";

it("wilsonInterval agrees with the published values for 0, 5 and 10 of 10", () => {
  // Python: statsmodels proportion_confint(k, 10, method="wilson")
  for (const [successes, low, high] of [
    [0, 0, 0.277533],
    [5, 0.236593, 0.763407],
    [10, 0.722467, 1],
  ] as const) {
    const interval = wilsonInterval(successes, 10);
    expect(interval[0]).toBeCloseTo(low, 5);
    expect(interval[1]).toBeCloseTo(high, 5);
  }
});

it("counts an answer as correct if it contains the boxed answer, for each policy on the same problems", async () => {
  const tokenizer = { encode: (text: string) => [...text].map(() => 0) };
  const problems = makeProblems("graph", { totalTokens: 3000, count: 4, seed: 5, tokenizer });
  const asked: string[] = [];
  const engine = {
    tokenizer,
    generate(request: GenerationRequest): Generation {
      const content = String(request.messages?.[0]?.content);
      asked.push(content);
      const i = problems.findIndex(({ problem }) => problem === content);
      const problem = problems[i];
      if (problem === undefined) throw new Error("asked something else");
      // "full" is always correct, the other policy every second time
      const isRight = request.attention === "full" || i % 2 === 0;
      const text = isRight ? chatText(problem).completion : "The answer is \\boxed{0}.";
      const result: GenerationResult = {
        text,
        reasoning: "",
        answer: "",
        tokenIds: [],
        finishReason: "stop",
        usage: { promptTokens: 10, completionTokens: 101 },
        timings: { prefillMs: 1, decodeMs: 200, msPerToken: 2 },
        attention: { name: String(request.attention), settings: {}, attendedFraction: 0.5 },
        notes: [],
      };
      const progress = { phase: "done", promptTokens: 10, cachedTokens: 111, generatedTokens: 101 } as const;
      return { progress, result: async () => result, async *[Symbol.asyncIterator]() {} };
    },
  };
  const options = { engine, tasks: ["graph"], totalTokens: 3000, problems: 4, seed: 5 } as const;
  const rows = await measureAccuracy({ ...options, attention: ["full", "streaming-llm"] });
  expect(rows.map(({ correct, accuracy }) => [correct, accuracy])).toEqual([
    [4, 1],
    [2, 0.5],
  ]);
  expect(rows[0]).toMatchObject({ problems: 4, meanTokens: 101, msPerToken: 2, attendedFraction: 0.5 });
  expect(asked.slice(0, 4)).toEqual(asked.slice(4));
  expect(formatAccuracy(rows)).toContain("streaming-llm  2/4    50 % (15 % to 85 %)");
});
