import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import type { Engine } from "../../src/engine/engine-api.ts";
import { place } from "../place/here.ts";
import { BACKENDS } from "./backends.ts";
import { type F16Rounding, roundingOf } from "./f16-rounding.ts";
import { logitError } from "./logit-error.ts";

declare module "vitest" {
  interface ProvidedContext {
    /** Names of the folders in test/golden/hf. */
    readonly goldenFolders: readonly string[];
  }
}

/** Time limit for a long text on a software adapter of a busy machine. */
const LONG_TEXT_MS = 300_000;

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

async function readJson<T>(path: string): Promise<T> {
  return JSON.parse(await place.readText(path)) as T;
}

const rounding = await readJson<F16Rounding>("test/golden/f16-rounding.json");

const problems = (await readJson<Problem[]>("test/golden/pico-reasoner.json")).sort(
  (a, b) => a.greedy_ids.length - b.greedy_ids.length,
);

describe.each(BACKENDS)("$name", (backend) => {
  const { allowedError, picoError, isRounded = false } = backend;
  const allowedOf = (name: string) =>
    typeof allowedError === "number" ? allowedError : roundingOf(rounding, name)[allowedError].largest;
  test.each(backend.checkpoints ?? inject("goldenFolders"))(`%s: logits within ${allowedError} of the largest, greedy tokens identical${isRounded ? " at first" : ""}`, async (name) => {
    const model = `test/golden/hf/${name}`;
    const golden = await readJson<Golden>(`${model}/golden.json`);
    const engine = await place.openEngine({ ...backend.options, model });
    const logits = await engine.logits(golden.input_ids);
    for (const [position, expected] of Object.entries(golden.logits))
      expect(logitError(logits, Number(position), expected), `position ${position}`).toBeLessThan(allowedOf(name));
    const prompt = golden.input_ids.slice(0, 50);
    const generation = engine.generate({ tokenIds: prompt, maxTokens: 60, ignoreEos: true, temperature: 0 });
    const { tokenIds } = await generation.result();
    if (!isRounded) expect(tokenIds).toEqual(golden.greedy_from_first_50);
    else expect(tokenIds.slice(0, 5)).toEqual(golden.greedy_from_first_50.slice(0, 5));
    await engine.close();
  });

  describe.skipIf(backend.picoProblems === 0)("pico-reasoner", () => {
    let engine: Engine;
    beforeAll(async () => {
      engine = await place.openEngine({
        ...backend.options,
        model: "models/pico-reasoner",
        attention: "full",
      });
    });
    afterAll(() => engine.close());

    test.each(problems.slice(0, backend.picoProblems).map((problem) => [problem.task, problem] as const))(
      `%s: prompt tokens, last logits within ${picoError} of the largest, greedy tokens and text identical`,
      async (_, problem) => {
        const ids = engine.tokenizer.encode(problem.prompt);
        expect(ids).toEqual(problem.prompt_ids);
        const logits = await engine.logits(ids);
        expect(logitError(logits, ids.length - 1, problem.last_logits)).toBeLessThan(picoError);
        const result = await engine.generate({ prompt: problem.prompt, maxTokens: 1200 }).result();
        expect(result.tokenIds).toEqual(problem.greedy_ids);
        expect(`${result.text}<|im_end|>`).toBe(problem.greedy_text);
        expect(result.finishReason).toBe("stop");
      },
      LONG_TEXT_MS,
    );
  });
});
