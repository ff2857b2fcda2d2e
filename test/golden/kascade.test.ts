/** Kascade as `transformers` computes it with an attention function of its own (make-kascade.py): tokens and their log-probabilities. */
import { describe, expect, test } from "vitest";
import { place } from "../place/here.ts";
import { BACKENDS } from "./backends.ts";

interface Golden {
  readonly model: string;
  readonly spec: string;
  readonly prompt_ids: readonly number[];
  readonly greedy_ids: readonly number[];
  /** Natural logarithms of the probabilities of `greedy_ids`. */
  readonly log_probs: readonly number[];
}

const goldens = JSON.parse(await place.readText("test/golden/kascade.json")) as Golden[];
// a rounded cache may decide between two tokens
const EXACT = BACKENDS.filter(({ name, isRounded }) => !isRounded && !name.startsWith("webgpu"));

describe.each(EXACT)("$name", ({ name, options }) => {
  // plain loops take seconds for the bundled model
  const some = name === "reference" ? goldens.slice(0, 2) : goldens;
  test.each(some)("$model under $spec: greedy tokens identical, log-probabilities within 1e-4", async ({ model, spec, ...golden }) => {
    const engine = await place.openEngine({ ...options, model });
    const generation = engine.generate({
      tokenIds: golden.prompt_ids,
      maxTokens: golden.greedy_ids.length,
      ignoreEos: true,
      temperature: 0,
      attention: spec,
    });
    expect((await generation.result()).tokenIds).toEqual(golden.greedy_ids);
    const tokenIds = [...golden.prompt_ids, ...golden.greedy_ids];
    const scored = await engine.score({ tokenIds, from: golden.prompt_ids.length, attention: spec });
    const errors = golden.log_probs.map((value, i) => Math.abs((scored.logProbs[i] ?? Number.NaN) - value));
    expect(errors.reduce((a, b) => Math.max(a, b))).toBeLessThan(1e-4);
    await engine.close();
  });
});
