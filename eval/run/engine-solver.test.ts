import { afterAll, beforeAll, expect, it } from "vitest";
import { ConfigError, type Engine, openEngine } from "../../src/node/index.ts";
import { openEngineSolver } from "./engine-solver.ts";
import type { Solver } from "./solver.ts";

const SPECS = ["full", "streaming-llm:budget=64", "less-is-more:budget=64,layers=2+7"];
const choice = (spec: string) => ({ spec, attention: spec });
let engine: Engine;
let solver: Solver;
beforeAll(async () => {
  engine = await openEngine({ backend: "wasm", threads: 1 });
  solver = await openEngineSolver({ backend: "wasm", threads: 1, concurrency: 3 });
}, 30_000);
afterAll(async () => {
  await engine.close();
  await solver.close();
});

it("binds specs with all their settings, takes two names of one policy for one, and names a spec that does not fit", async () => {
  const methods = await solver.bind([...SPECS, "streaming-llm:budget=64,sinks=4"].map(choice));
  expect(methods.map(({ label }) => label)).toEqual([
    "full",
    "streaming-llm:budget=64,sinks=4",
    "less-is-more:budget=64,recency=0.25,sinks=4,layers=2+7",
  ]);
  await expect(solver.bind([choice("less-is-more:layers=99")])).rejects.toThrow(ConfigError);
  await expect(solver.bind([choice("less-is-more:layers=99")])).rejects.toThrow(
    "--attention less-is-more:layers=99",
  );
});

it("finds each token of a greedy response the likeliest under the policy that made it, and another token not", async () => {
  const prompt = solver.tokenizer?.encode("Find ab.\nab=cd+ef\ncd=12\nef=gh-3\ngh=70\n".repeat(4)) ?? [];
  const methods = await solver.bind(SPECS.map(choice));
  for (const [i, { attention }] of methods.entries()) {
    const { tokenIds } = await engine
      .generate({
        tokenIds: prompt,
        maxTokens: 24,
        temperature: 0,
        ignoreEos: true,
        ...(attention && { attention }),
      })
      .result();
    const forced = [...prompt, ...tokenIds];
    const scores = await solver.score?.({ tokenIds: forced, from: prompt.length, methods });
    const own = scores?.[i];
    expect(own?.isLikeliest).toEqual(tokenIds.map(() => true));
    expect(own?.logProbs.every((logProb) => logProb <= 0 && logProb > -5)).toBe(true);
    expect(own?.attendedFraction).toBeLessThanOrEqual(1);
    const wrong = forced.with(prompt.length + 5, ((tokenIds[5] ?? 0) + 1) % 500);
    const [spoilt] =
      (await solver.score?.({ tokenIds: wrong, from: prompt.length, methods: methods.slice(i, i + 1) })) ??
      [];
    expect(spoilt?.isLikeliest.slice(0, 6)).toEqual([true, true, true, true, true, false]);
    expect(spoilt?.msPerToken).toBeGreaterThan(0);
  }
});

it("loads no file that a request names: only the command line does", () => {
  expect(() => engine.generate({ prompt: "a", attention: "./my-policy.mjs:budget=64" })).toThrow(
    "unknown attention",
  );
});

it("reports the model's content, template and precisions, and counts tokens while requests run", async () => {
  expect(solver.report.identity).toMatchObject({
    contentSha256: expect.stringMatching(/^[0-9a-f]{64}$/),
    chatTemplateSha256: expect.stringMatching(/^[0-9a-f]{64}$/),
    ...{ weights: "own", cacheDtype: "f32", backend: "wasm" },
  });
  const before = solver.generatedTokens?.() ?? 0;
  const [method] = await solver.bind([choice("full")]);
  if (method === undefined) throw new Error("no method");
  const messages = [{ role: "user", content: "Find ab.\nab=1" }];
  const solved = await solver.solve({
    messages,
    sampling: { temperature: 0 },
    seed: 1,
    method,
    maxTokens: 8,
  });
  expect((solver.generatedTokens?.() ?? 0) - before).toBe(solved.completionTokens);
});
