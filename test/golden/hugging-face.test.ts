import { existsSync, readdirSync, readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Engine, openEngine } from "../../src/node/index.ts";
import { BACKENDS } from "./backends.ts";
import { repositoryPath } from "./open-fixture.ts";

interface Golden {
  readonly input_ids: readonly number[];
  readonly logits: Readonly<Record<string, readonly number[]>>;
  readonly greedy_from_first_50: readonly number[];
}

interface Problem {
  readonly task: string;
  readonly prompt: string;
  readonly prompt_ids: readonly number[];
  readonly last_logits: readonly number[];
  readonly greedy_ids: readonly number[];
  readonly greedy_text: string;
}

/** Largest difference over the largest absolute logit. */
function worstError(logits: Float32Array, position: number, expected: readonly number[]): number {
  const scale = Math.max(...expected.map(Math.abs));
  return Math.max(...expected.map((logit, i) => Math.abs(logit - logits[position * expected.length + i]))) / scale;
}

function readJson<T>(path: string): T {
  return JSON.parse(readFileSync(path, "utf8")) as T;
}

const fixtures = readdirSync(repositoryPath("test/golden/hf")).filter((name) =>
  existsSync(repositoryPath(`test/golden/hf/${name}/golden.json`)),
);

describe.each(BACKENDS)("$name", (backend) => {
  test.each(fixtures)("%s: logits within 1e-4 of the largest, greedy tokens identical", async (name) => {
    const model = repositoryPath(`test/golden/hf/${name}`);
    const golden = readJson<Golden>(`${model}/golden.json`);
    const engine = await openEngine({ ...backend.options, model });
    const logits = await engine.logits(golden.input_ids);
    for (const [position, expected] of Object.entries(golden.logits))
      expect(worstError(logits, Number(position), expected), `position ${position}`).toBeLessThan(1e-4);
    const prompt = golden.input_ids.slice(0, 50);
    const generation = engine.generate({ tokenIds: prompt, maxTokens: 60, ignoreEos: true, temperature: 0 });
    expect((await generation.result()).tokenIds).toEqual(golden.greedy_from_first_50);
    await engine.close();
  });

  describe("pico-reasoner", () => {
    let engine: Engine;
    beforeAll(async () => {
      engine = await openEngine({ ...backend.options, attention: "full" });
    });
    afterAll(() => engine.close());

    const problems = readJson<Problem[]>(repositoryPath("test/golden/pico-reasoner.json"));
    test.each(problems.slice(0, backend.picoProblems).map((problem) => [problem.task, problem] as const))(
      "%s: prompt tokens, last logits within 1e-4 of the largest, greedy tokens and text identical",
      async (_, problem) => {
        const ids = engine.tokenizer.encode(problem.prompt);
        expect(ids).toEqual(problem.prompt_ids);
        const logits = await engine.logits(ids);
        expect(worstError(logits, ids.length - 1, problem.last_logits)).toBeLessThan(1e-4);
        const result = await engine.generate({ prompt: problem.prompt, maxTokens: 1200 }).result();
        expect(result.tokenIds).toEqual(problem.greedy_ids);
        expect(`${result.text}<|im_end|>`).toBe(problem.greedy_text);
        expect(result.finishReason).toBe("stop");
      },
    );
  });
});
