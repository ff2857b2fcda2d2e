import { readdirSync, readFileSync } from "node:fs";
import fc from "fast-check";
import { expect, test } from "vitest";
import { ConfigError } from "../base/errors.ts";
import { parseModelConfig } from "./config.ts";

const BASE = {
  architectures: ["Qwen3ForCausalLM"],
  model_type: "qwen3",
  vocab_size: 512,
  hidden_size: 256,
  intermediate_size: 640,
  num_hidden_layers: 4,
  num_attention_heads: 8,
  num_key_value_heads: 2,
  head_dim: 64,
  max_position_embeddings: 8192,
  rope_theta: 100000,
};
const llama = { ...BASE, architectures: ["LlamaForCausalLM"], model_type: "llama" };
const qwen2 = { ...BASE, architectures: ["Qwen2ForCausalLM"], model_type: "qwen2" };
const without = (json: object, ...keys: string[]) =>
  Object.fromEntries(Object.entries(json).filter(([key]) => !keys.includes(key)));
const parse = (json: unknown) => parseModelConfig(json, "m/config.json");

test("every fixture and the bundled model parse", () => {
  const root = new URL("../../", import.meta.url);
  const folders = readdirSync(new URL("test/golden/hf", root)).map((name) => `test/golden/hf/${name}`);
  expect(folders.length).toBeGreaterThanOrEqual(9);
  for (const folder of [...folders, "models/pico-reasoner"]) {
    const json = JSON.parse(readFileSync(new URL(`${folder}/config.json`, root), "utf8"));
    expect(parse(json).numLayers).toBe(json.num_hidden_layers);
  }
});

test("missing keys get the defaults of transformers 5.24", () => {
  const sizes = without(BASE, "head_dim", "num_key_value_heads", "max_position_embeddings", "rope_theta");
  const common = { numKvHeads: 8, rmsNormEps: 1e-6, tieWordEmbeddings: false, hasOutputBias: false };
  const one = (family: object) => parse({ ...sizes, ...family });
  expect(one({ architectures: llama.architectures, model_type: "llama" })).toMatchObject({
    ...common,
    headDim: 32,
    maxPositionEmbeddings: 2048,
    hasQkvBias: false,
    eosTokenIds: [2],
    ropes: [{ type: "default", theta: 10000, headDim: 32 }],
  });
  expect(one({ architectures: qwen2.architectures, model_type: "qwen2" })).toMatchObject({
    ...common,
    headDim: 32,
    maxPositionEmbeddings: 32768,
    hasQkvBias: true,
    eosTokenIds: [],
  });
  expect(one({})).toMatchObject({ ...common, headDim: 128, maxPositionEmbeddings: 32768, hasQkvBias: false });
});

test("null sizes follow from the other sizes; token ids may be null, one or many", () => {
  const json = { ...llama, head_dim: null, num_key_value_heads: null, eos_token_id: null };
  expect(parse(json)).toMatchObject({ headDim: 32, numKvHeads: 8, eosTokenIds: [] });
  expect(parse({ ...BASE, eos_token_id: 7 }).eosTokenIds).toEqual([7]);
  expect(parse({ ...BASE, eos_token_id: [7, 8] }).eosTokenIds).toEqual([7, 8]);
  // as in transformers, a number that cannot be an id never matches
  expect(parse({ ...BASE, eos_token_id: -1 }).eosTokenIds).toEqual([]);
  expect(parse({ ...BASE, eos_token_id: [1.5, 7] }).eosTokenIds).toEqual([7]);
});

// each was tried with transformers 5.24, whose logits it leaves as they are
const ANY: readonly object[] = [
  { use_cache: "x", bos_token_id: -1, pad_token_id: "x", attention_dropout: 0.5, initializer_range: 7 },
  { pretraining_tp: 2, torch_dtype: "float8_x", auto_map: { AutoModel: "x" }, extra: { a: [1] } },
  { bos_token_id: "x", max_length: -3, temperature: "x", num_beams: 4 },
  { partial_rotary_factor: 0.5 },
  { rope_parameters: { rope_type: "default", rope_theta: 1e4, factor: -8, beta_fast: "x", truncate: [] } },
  { rope_parameters: { rope_theta: 1e4, mrope_section: [1, 2], other: { a: 1 } } },
  { rope_parameters: { rope_type: "default", rope_theta: 1e4, partial_rotary_factor: 0.5 } },
  { rope_theta: "x", rope_parameters: { rope_type: "default", rope_theta: 1e4 } },
  { rope_theta: -1, rope_parameters: { rope_type: "default", rope_theta: 1e4 } },
  {
    rope_parameters: {
      rope_type: "linear",
      factor: 2,
      low_freq_factor: "x",
      original_max_position_embeddings: "x",
    },
  },
  { quantization_config: null },
  { architectures: null },
  { architectures: [] },
];
test.each([
  ...[llama, qwen2, BASE].flatMap((family) => ANY.map((change) => ({ family, change }))),
  ...[qwen2, BASE].flatMap((family) =>
    [
      { mlp_bias: "x" },
      { mlp_bias: true },
      { use_sliding_window: false, sliding_window: -3, max_window_layers: "x" },
      { use_sliding_window: true, sliding_window: 16, max_window_layers: 4 },
      { use_sliding_window: true, sliding_window: 16, layer_types: Array(4).fill("full_attention") },
      { use_sliding_window: true, sliding_window: null, max_window_layers: "x" },
    ].map((change) => ({ family, change })),
  ),
  ...[
    { use_sliding_window: "yes", sliding_window: "x", max_window_layers: -1 },
    { use_sliding_window: true, sliding_window: 16, max_window_layers: 0 },
  ].map((change) => ({ family: llama, change })),
  { family: qwen2, change: { attention_bias: 1 } },
  { family: llama, change: { architectures: ["LlamaModel"] } },
])("$family.model_type ignores $change, which no run uses", ({ family, change }) => {
  const plain = { ...parse(family), ropes: undefined };
  expect({ ...parse({ ...family, ...change }), ropes: undefined }).toMatchObject({
    ...plain,
    contextLength: expect.any(Number),
    contextNote:
      "rope_parameters" in change && JSON.stringify(change).includes("linear")
        ? expect.any(String)
        : undefined,
  });
});

test.each<[string, object, number, number]>([
  ["yarn beyond it", { rope_type: "yarn", factor: 4, original_max_position_embeddings: 32 }, 40, 128],
  ["yarn of Qwen3", { rope_type: "yarn", factor: 4, original_max_position_embeddings: 32768 }, 40960, 131072],
  ["yarn without an original", { type: "yarn", factor: 2 }, 4096, 8192],
  ["yarn within it", { type: "yarn", factor: 4, original_max_position_embeddings: 1024 }, 131072, 131072],
  ["yarn of a broken factor", { type: "yarn", factor: 1.3, original_max_position_embeddings: 100 }, 100, 130],
  ["yarn that shortens", { type: "yarn", factor: 0.5, original_max_position_embeddings: 64 }, 64, 64],
  ["linear, as documented", { type: "linear", factor: 4 }, 4096, 16384],
  ["dynamic within the trained length", { type: "dynamic", factor: 4 }, 4096, 4096],
  [
    "llama3 left alone",
    {
      rope_type: "llama3",
      factor: 8,
      low_freq_factor: 1,
      high_freq_factor: 4,
      original_max_position_embeddings: 8192,
    },
    8192,
    65536,
  ],
  [
    "llama3 of Llama 3.2, whose factor reaches past what was trained",
    {
      rope_type: "llama3",
      factor: 32,
      low_freq_factor: 1,
      high_freq_factor: 4,
      original_max_position_embeddings: 8192,
    },
    131072,
    131072,
  ],
  ["an absurd factor", { type: "yarn", factor: 1e300 }, 4096, 2 ** 24],
])("context of %s: the maximum of the scaled length and max_position_embeddings", (_, rope, positions, context) => {
  const config = parse({ ...BASE, max_position_embeddings: positions, rope_scaling: rope });
  expect(config).toMatchObject({ maxPositionEmbeddings: positions, contextLength: context });
  if (context > positions) {
    expect(config.contextNote).toContain(`context of ${context} tokens`);
    expect(config.contextNote).toContain(`max_position_embeddings is ${positions}`);
  } else if (!JSON.stringify(rope).includes("dynamic")) expect(config.contextNote).toBeUndefined();
});

test("a sliding window is compared with the context after scaling", () => {
  const json = { ...BASE, use_sliding_window: true, max_window_layers: 2, sliding_window: 8192 };
  const windows = (change: object) => parse({ ...json, ...change }).layers.map(({ window }) => window);
  expect(windows({})).toEqual([undefined, undefined, undefined, undefined]);
  expect(windows({ rope_scaling: { type: "linear", factor: 2 } })).toEqual([
    undefined,
    undefined,
    8192,
    8192,
  ]);
});

test.each<[object, string]>([
  [{ quantization_config: { quant_method: "gptq", bits: 4 } }, "quantised by GPTQ in 4 bits"],
  [{ quantization_config: { quant_method: "awq", bits: 4 } }, "quantised by AWQ in 4 bits"],
  [{ quantization_config: { load_in_4bit: true } }, "quantised by bitsandbytes in 4 bits"],
  [
    { quantization_config: { quant_method: "bitsandbytes", load_in_8bit: true } },
    "by bitsandbytes in 8 bits",
  ],
  [{ quantization_config: { quant_method: "fp8", activation_scheme: "dynamic" } }, "quantised by FP8"],
  [{ quantization_config: { quant_method: "compressed-tensors" } }, "quantised by compressed-tensors"],
  [{ quantization_config: { quant_method: "mxfp4" } }, "quantised by MXFP4"],
  [{ quantization_config: { quant_method: "torchao" } }, "quantised by torchao"],
  [{ quantization_config: { quant_method: "eetq" } }, "quantised by EETQ"],
  [{ quantization_config: { quant_method: "hqq" } }, "quantised by HQQ"],
  [{ quantization_config: { quant_method: "a new one" } }, "quantised by a new one"],
  [{ quantization_config: { quant_method: "constructor" } }, "quantised by constructor,"],
  [{ quantization_config: {} }, "quantised, which"],
  [{ compression_config: { quant_method: "compressed-tensors" } }, "compression_config"],
  [{ quantization: { group_size: 64, bits: 4 } }, "quantised by MLX in 4 bits"],
])("%j is a ConfigError that names the method and the alternative", (change, message) => {
  const parsing = () => parse({ ...BASE, ...change });
  expect(parsing).toThrow(ConfigError);
  expect(parsing).toThrow(message);
  expect(parsing).toThrow("take the checkpoint that it was made from, before quantisation");
});

test("attention_bias gives Llama and Qwen3 biases on q, k, v and o; Qwen2 always has its own", () => {
  const biases = (json: object) => {
    const { hasQkvBias, hasOutputBias } = parse(json);
    return [hasQkvBias, hasOutputBias];
  };
  expect(biases({ ...llama, attention_bias: true })).toEqual([true, true]);
  expect(biases({ ...BASE, attention_bias: true })).toEqual([true, true]);
  expect(biases({ ...BASE, attention_bias: false })).toEqual([false, false]);
  expect(biases({ ...qwen2, attention_bias: true })).toEqual([true, false]);
});

test("the family is found by either name", () => {
  expect(parse(without(llama, "model_type")).family.modelType).toBe("llama");
  expect(parse(without(llama, "architectures")).family.architecture).toBe("LlamaForCausalLM");
});

test("a sliding window without effect is accepted; one without a length is refused", () => {
  const sliding = Array(4).fill("sliding_attention");
  for (const json of [
    { use_sliding_window: false, sliding_window: 4096, max_window_layers: 2 },
    { use_sliding_window: true, sliding_window: 8192 },
    { use_sliding_window: true, sliding_window: 128, max_window_layers: 4 },
    { use_sliding_window: true, sliding_window: 9000, layer_types: sliding },
    { sliding_window: null, layer_types: Array(4).fill("full_attention") },
  ])
    expect(parse({ ...BASE, ...json }).numLayers).toBe(4);
  expect(() => parse({ ...BASE, layer_types: sliding })).toThrow("layer_types");
  // transformers 5.24 runs Llama with full attention, even if its config has a window
  expect(parse({ ...llama, sliding_window: 8, layer_types: sliding }).numLayers).toBe(4);
});

test.each<[string, unknown]>([
  ["architectures", ["MistralForCausalLM"]],
  ["architectures", ["LlamaForCausalLM"]],
  ["model_type", "qwen3_moe"],
  ...["hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "vocab_size"].flatMap(
    (key): [string, unknown][] =>
      [undefined, null, 0, -1, 1.5, "8", [8], 2 ** 60].map((value) => [key, value]),
  ),
  ["num_key_value_heads", 3],
  ["num_key_value_heads", 16],
  ["num_key_value_heads", 1.5],
  ["head_dim", 63],
  ["head_dim", 0],
  ["max_position_embeddings", "many"],
  ["rms_norm_eps", -1],
  ["rms_norm_eps", "1e-6"],
  ["tie_word_embeddings", "true"],
  ["attention_bias", 1],
  ["hidden_act", "gelu"],
  ["num_hidden_layers", 2 ** 32],
  ["num_hidden_layers", 5000],
  ["head_dim", 2 ** 40],
  ["vocab_size", 2 ** 31],
  ["max_position_embeddings", 2 ** 40],
  ["quantization_config", { quant_method: "gptq" }],
  ["quantization", { bits: 4 }],
  ["use_sliding_window", 1],
  ["layer_types", ["sliding_attention", "full_attention", "full_attention", "full_attention"]],
  ["layer_types", ["full_attention"]],
  ["layer_types", Array(4).fill("linear_attention")],
  ["eos_token_id", "x"],
  ["eos_token_id", ["1"]],
  ["rope_theta", 0],
  ["rope_theta", "1e4"],
])("%s %j is a ConfigError that names file, key and value", (key, value) => {
  // use_sliding_window has an effect if the window is short and some layers use it
  const parsing = () => parse({ ...BASE, sliding_window: 512, max_window_layers: 0, [key]: value });
  expect(parsing).toThrow(ConfigError);
  expect(parsing).toThrow("m/config.json");
  expect(parsing).toThrow(key);
  expect(parsing).toThrow(value === undefined ? "is missing" : JSON.stringify(value).slice(0, 100));
});

test("mlp_bias of Llama is a ConfigError that names it", () => {
  expect(() => parse({ ...llama, mlp_bias: true })).toThrow("mlp_bias is true");
});

const llama3 = {
  rope_type: "llama3",
  factor: 8,
  low_freq_factor: 1,
  high_freq_factor: 4,
  original_max_position_embeddings: 64,
};
test.each<[string, object, string]>([
  [
    "an unknown type",
    { rope_type: "proportional" },
    'rope_scaling.rope_type is "proportional"; expected default, linear, dynamic, llama3, yarn or longrope',
  ],
  ["an unsupported type", { type: "mrope", mrope_section: [1] }, 'rope_scaling.type is "mrope"'],
  ["a number as type", { type: 3 }, "rope_scaling.type is 3"],
  ["linear without a factor", { type: "linear" }, "rope_scaling.factor is missing"],
  ["a factor of 0", { type: "linear", factor: 0 }, "rope_scaling.factor is 0"],
  ["llama3 without low_freq_factor", without(llama3, "low_freq_factor"), "low_freq_factor is missing"],
  ["yarn with a bad mscale", { type: "yarn", factor: 2, mscale: "a", mscale_all_dim: 1 }, 'mscale is "a"'],
  ["yarn without finite frequencies", { type: "yarn", factor: 2, beta_fast: 1e-320 }, "not finite"],
  ["yarn of theta 1", { type: "yarn", factor: 2, rope_theta: 1 }, "not finite"],
  ["a RoPE a layer type", { full_attention: { rope_type: "default" } }, "expected one RoPE for all layers"],
  [
    "partial rotation",
    { type: "linear", factor: 2, partial_rotary_factor: 0.5 },
    "partial_rotary_factor is 0.5; expected 1",
  ],
])("RoPE of %s is a ConfigError", (_, scaling, message) => {
  const old = () => parse({ ...BASE, rope_scaling: scaling });
  expect(old).toThrow(ConfigError);
  expect(old).toThrow(message);
  const renewed = () => parse({ ...BASE, rope_parameters: scaling });
  expect(renewed).toThrow(message.replace("rope_scaling", "rope_parameters"));
});

test("RoPE values take precedence in the order of transformers", () => {
  const rope = (json: object) => {
    const [one, ...others] = parse({ ...BASE, ...json }).ropes;
    expect(others).toEqual([]);
    return one;
  };
  expect(rope({ rope_parameters: { rope_type: "default", rope_theta: 5 } }).theta).toBe(5);
  const linear = { type: "linear", factor: 2 };
  expect(rope({ rope_scaling: linear, rope_parameters: { rope_type: "default" } }).type).toBe("linear");
  expect(rope({ rope_scaling: {}, rope_parameters: linear }).type).toBe("linear");
  expect(rope({ rope_scaling: null }).type).toBe("default");
  expect(rope({ rope_scaling: { ...linear, rope_type: "default" } }).type).toBe("default");
  const yarn = { type: "yarn", factor: 4, original_max_position_embeddings: 64 };
  expect(rope({ rope_scaling: yarn })).toMatchObject({
    originalMaxPositions: 64,
    betaFast: 32,
    betaSlow: 1,
    truncate: true,
  });
  expect(rope({ rope_scaling: yarn, original_max_position_embeddings: 128 })).toMatchObject({
    originalMaxPositions: 128,
  });
  expect(rope({ rope_scaling: { type: "yarn", factor: 4 } })).toMatchObject({ originalMaxPositions: 8192 });
  expect(rope({ rope_scaling: { ...yarn, factor: null } })).toMatchObject({ factor: 128 });
});

test("random JSON with the known keys parses or throws a ConfigError", () => {
  const key = fc.constantFrom(
    ...Object.keys(BASE),
    "rope_scaling",
    "rope_parameters",
    "layer_types",
    "eos_token_id",
  );
  fc.assert(
    fc.property(fc.array(fc.tuple(key, fc.jsonValue({ maxDepth: 2 })), { maxLength: 3 }), (changes) => {
      try {
        expect(parse({ ...BASE, ...Object.fromEntries(changes) }).headDim % 2).toBe(0);
      } catch (error) {
        expect(error).toBeInstanceOf(ConfigError);
      }
    }),
    { numRuns: 500 },
  );
  for (const json of [null, [], "x", 3]) expect(() => parse(json)).toThrow(ConfigError);
});
