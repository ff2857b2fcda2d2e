/** Both versions of the AI SDK's interface accept the provider: the TypeScript compiler proves it, and what they read at run time. */
import type {
  LanguageModelV3,
  LanguageModelV3CallOptions,
  LanguageModelV3StreamPart,
  ProviderV3,
} from "@ai-sdk/provider";
import type {
  LanguageModelV4,
  LanguageModelV4CallOptions,
  LanguageModelV4StreamPart,
  ProviderV4,
} from "@ai-sdk/provider-v4";
import { expect, it } from "vitest";
import type { Engine } from "../engine/engine-api.ts";
import { createLessIsMore } from "./index.ts";
import type { CallOptions, StreamPart } from "./model-types.ts";

const engine = { report: () => ({ model: { name: "pico" } }) } as Engine;

it("is a provider of version 3 by default, and of version 4", () => {
  const v3: ProviderV3 = createLessIsMore({ engine });
  const v4: ProviderV4 = createLessIsMore({ engine, specificationVersion: "v4" });
  const three: LanguageModelV3 = v3.languageModel("pico");
  const four: LanguageModelV4 = v4.languageModel("pico");
  expect([v3, v4, three, four].map((one) => one.specificationVersion)).toEqual(["v3", "v4", "v3", "v4"]);
  expect([three, four].map(({ provider, modelId }) => `${provider} ${modelId}`)).toEqual([
    "lessismore pico",
    "lessismore pico",
  ]);
});

it("takes the calls of both versions, and gives parts of both", () => {
  const take = (options: CallOptions) => options.prompt.length;
  const three: LanguageModelV3CallOptions = {
    prompt: [{ role: "user", content: [{ type: "text", text: "a" }] }],
  };
  const four: LanguageModelV4CallOptions = { ...three, prompt: [], reasoning: "low" };
  expect([take(three), take(four)]).toEqual([1, 0]);
  const parts: StreamPart[] = [{ type: "text-delta", id: "0", delta: "a" }];
  const given: readonly [LanguageModelV3StreamPart[], LanguageModelV4StreamPart[]] = [parts, parts];
  expect(given[0]).toBe(given[1]);
});

it("refuses other models and other kinds, by name", () => {
  const provider = createLessIsMore({ engine, modelId: "mine" });
  expect(provider("mine").modelId).toBe("mine");
  expect(provider().modelId).toBe("mine");
  expect(() => provider("gpt")).toThrow('no model "gpt"; this provider\'s engine has "mine"');
  expect(() => provider.embeddingModel("gpt")).toThrow("language models alone");
});
