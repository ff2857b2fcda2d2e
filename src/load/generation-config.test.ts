import { expect, test } from "vitest";
import { ModelFileError } from "../base/errors.ts";
import { resolveSampling } from "../engine/sampler.ts";
import { parseGenerationConfig } from "./generation-config.ts";

const parse = (json: object) => parseGenerationConfig({ ...json }, "generation_config.json");

test("all values of a sampling checkpoint are read", () => {
  const json = {
    do_sample: true,
    temperature: 0.6,
    top_k: 20,
    top_p: 0.95,
    min_p: 0,
    repetition_penalty: 1.05,
    max_new_tokens: 2048,
    max_length: 4096,
    eos_token_id: [151645, 151643],
    sparse_attention: "quest:budget=256",
  };
  expect(parse(json)).toEqual({
    temperature: 0.6,
    topK: 20,
    topP: 0.95,
    minP: 0,
    repetitionPenalty: 1.05,
    maxNewTokens: 2048,
    maxLength: undefined,
    eosTokenIds: [151645, 151643],
    attention: "quest:budget=256",
    problems: new Map(),
    unsupported: [],
  });
});

test("without do_sample decoding is greedy, whatever the other values; the penalty still applies", () => {
  for (const json of [{}, { do_sample: false }, { do_sample: null }]) {
    const config = parse({
      ...json,
      temperature: 0.6,
      top_k: 5,
      top_p: 0.5,
      min_p: 0.1,
      repetition_penalty: 1.2,
    });
    expect(config.temperature).toBe(0);
    // a request that samples nevertheless uses them, as generate(do_sample=True) does
    expect([config.topK, config.topP, config.minP]).toEqual([5, 0.5, 0.1]);
    expect(config.repetitionPenalty).toBe(1.2);
  }
});

test("the default temperature of do_sample is 1; one eos id becomes a list; null counts as absent", () => {
  expect(parse({ do_sample: true, eos_token_id: 2 })).toMatchObject({ temperature: 1, eosTokenIds: [2] });
  expect(parse({ eos_token_id: null, top_k: null }).eosTokenIds).toBeUndefined();
});

const REQUEST = { seed: 1 };

// generate() of transformers 5.24 decodes greedily with each, without an error
test.each<object>([
  { do_sample: false, top_p: 0.0, temperature: 0.0 },
  { do_sample: false, top_k: -1, top_p: 7, min_p: -1, temperature: -1 },
  { top_k: "x", top_p: null, temperature: {} },
  { do_sample: null, temperature: "0.6" },
  { do_sample: 0, top_k: 1.5 },
  { foo: { a: [1] }, num_beam_groups: "x", transformers_version: 5, _from_model_config: "yes" },
  { pad_token_id: -1, bos_token_id: "x", use_cache: "x", cache_implementation: 3 },
])("%j is greedy: values of sampling are not checked", (json) => {
  const config = parse(json);
  expect(config.unsupported).toEqual([]);
  expect(resolveSampling(REQUEST, config).temperature).toBe(0);
});

test.each<[object, object]>([
  [{ do_sample: true, temperature: null }, { temperature: 1 }],
  [{ do_sample: 1 }, { temperature: 1 }],
  [{ do_sample: "yes" }, { temperature: 1 }],
  [{ do_sample: true, top_k: 0 }, { topK: 0 }],
  [
    { do_sample: true, top_p: 0.0 },
    { topK: 1, topP: undefined },
  ], // top-p always keeps the best token
  [{ do_sample: true, top_p: 1.5 }, { topP: undefined }],
  [{ do_sample: true, temperature: 0.0, top_k: -1 }, { temperature: 0 }],
  [{ max_new_tokens: 5 }, { maxNewTokens: 5, maxLength: undefined }],
  [
    { max_new_tokens: 5.0, max_length: -1 },
    { maxNewTokens: 5, maxLength: undefined, problems: new Map() },
  ],
  [{ max_length: 53 }, { maxNewTokens: undefined, maxLength: 53 }],
  [{ max_length: 53.5 }, { maxLength: 54 }],
  [
    { max_new_tokens: null, max_length: 9 },
    { maxNewTokens: undefined, maxLength: 9 },
  ],
  [{ eos_token_id: -1 }, { eosTokenIds: [] }],
  [{ eos_token_id: [-1, 2] }, { eosTokenIds: [2] }],
  [{ eos_token_id: 1.5 }, { eosTokenIds: [] }],
  [{ eos_token_id: 99999 }, { eosTokenIds: [99999] }],
  [{ repetition_penalty: null }, { repetitionPenalty: undefined }],
])("%j is used as transformers uses it", (json, expected) => {
  expect(parse(json)).toMatchObject(expected);
});

test.each<[string, unknown, object]>([
  ["temperature", -1, { temperature: 0.5 }],
  ["temperature", "0.6", { temperature: 0 }],
  ["top_k", 1.5, { topK: 4 }],
  ["top_k", -1, { temperature: 0 }],
  ["top_p", -0.1, { topP: 0.5 }],
  ["min_p", -0.1, { minP: 0 }],
  ["repetition_penalty", 0, { repetitionPenalty: 1 }],
  ["repetition_penalty", "1", { repetitionPenalty: 1 }],
  ["max_new_tokens", 0, { maxTokens: 3 }],
  ["max_new_tokens", "5", { maxTokens: 3 }],
  ["max_length", -1, { maxTokens: 3 }],
])("%s %j fails only requests that rely on the checkpoint's value", (key, value, own) => {
  const config = parse({ do_sample: true, [key]: value });
  const relying = () => resolveSampling(REQUEST, config);
  expect(relying).toThrow(ModelFileError);
  expect(relying).toThrow(`generation_config.json: ${key}`);
  expect(relying).toThrow(JSON.stringify(value));
  expect(resolveSampling({ ...REQUEST, ...own }, config)).toMatchObject({ temperature: expect.any(Number) });
});

test.each([
  ["eos_token_id", "2"],
  ["eos_token_id", [1, null]],
  ["sparse_attention", {}],
])("%s %j is a ModelFileError with file, key and value, whether sampling or not", (key, value) => {
  for (const do_sample of [true, false]) {
    const parsing = () => parse({ do_sample, [key]: value });
    expect(parsing).toThrow(ModelFileError);
    expect(parsing).toThrow(`generation_config.json: ${key}`);
    expect(parsing).toThrow(JSON.stringify(value));
  }
});

test("ignored keys are listed if they change the output of transformers, and only then", () => {
  const json = {
    num_beams: 4,
    no_repeat_ngram_size: 3,
    suppress_tokens: [],
    typical_p: 1.0,
    stop_strings: null,
  };
  expect(parse(json).unsupported).toEqual(["num_beams 4", "no_repeat_ngram_size 3"]);
});
