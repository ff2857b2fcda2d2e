import { expect, test } from "vitest";
import { ModelFileError } from "../base/errors.ts";
import { parseGenerationConfig } from "./generation-config.ts";

const parse = (json: object) => parseGenerationConfig({ ...json }, "generation_config.json");

test("a sampling checkpoint gives its values", () => {
  const json = {
    do_sample: true,
    temperature: 0.6,
    top_k: 20,
    top_p: 0.95,
    min_p: 0,
    repetition_penalty: 1.05,
    max_new_tokens: 2048,
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
    eosTokenIds: [151645, 151643],
    attention: "quest:budget=256",
  });
});

test("without do_sample decoding is greedy, whatever the other values; the penalty still counts", () => {
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
    expect([config.topK, config.topP, config.minP]).toEqual([undefined, undefined, undefined]);
    expect(config.repetitionPenalty).toBe(1.2);
  }
});

test("do_sample without a temperature samples at 1; one eos id is a list of one; null is nothing", () => {
  expect(parse({ do_sample: true, eos_token_id: 2 })).toMatchObject({ temperature: 1, eosTokenIds: [2] });
  expect(parse({ eos_token_id: null, top_k: null }).eosTokenIds).toBeUndefined();
});

test.each([
  ["do_sample", "yes"],
  ["temperature", -1],
  ["temperature", "0.6"],
  ["top_k", 1.5],
  ["top_k", -1],
  ["top_p", 0],
  ["top_p", 1.1],
  ["min_p", -0.1],
  ["repetition_penalty", 0],
  ["repetition_penalty", Number.POSITIVE_INFINITY],
  ["max_new_tokens", 0],
  ["eos_token_id", "2"],
  ["eos_token_id", [1, -2]],
  ["eos_token_id", 1.5],
  ["sparse_attention", {}],
])("%s %j is a ModelFileError that names file, key and value, sampling or not", (key, value) => {
  for (const do_sample of [true, false]) {
    const parsing = () => parse({ do_sample, [key]: value });
    expect(parsing).toThrow(ModelFileError);
    expect(parsing).toThrow(`generation_config.json: ${key}`);
    expect(parsing).toThrow(JSON.stringify(value));
  }
});
