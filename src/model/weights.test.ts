import { expect, test } from "vitest";
import { memorySource, safetensorsFile } from "../../test/golden/memory-folder.ts";
import type { Backend } from "../backend/backend.ts";
import { createReferenceBackend } from "../backend/reference/reference-backend.ts";
import { ModelFileError } from "../base/errors.ts";
import type { WeightRef } from "../base/tensor-ref.ts";
import { readSafetensors } from "../load/safetensors.ts";
import type { TensorEntry } from "../load/tensor-entry.ts";
import { type ModelConfig, parseModelConfig } from "./config.ts";
import { storedBytes } from "./weight-storage.ts";
import { checkWeights, loadWeights, unusedOutput } from "./weights.ts";

const ELEMENT_BYTES: Record<string, number> = { F32: 4, BF16: 2, F16: 2, I8: 1 };

/** A tensor to create; its dtype defaults to BF16. */
type Tensors = Record<string, { shape: number[]; dtype?: string; fill?: number }>;

const json = (change: object = {}) => ({
  architectures: ["Qwen3ForCausalLM"],
  vocab_size: 20,
  hidden_size: 12,
  intermediate_size: 9,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  head_dim: 6,
  max_position_embeddings: 64,
  tie_word_embeddings: false,
  attention_bias: true,
  ...change,
});

function tensorsOf(config: ModelConfig, prefix = "model."): Tensors {
  const { hiddenSize, headDim, intermediateSize, vocabSize } = config;
  const width = {
    q: config.numQueryHeads * headDim,
    k: config.numKvHeads * headDim,
    v: config.numKvHeads * headDim,
  };
  const tensors: Tensors = {
    [`${prefix}embed_tokens.weight`]: { shape: [vocabSize, hiddenSize] },
    [`${prefix}norm.weight`]: { shape: [hiddenSize] },
  };
  if (!config.tieWordEmbeddings) tensors["lm_head.weight"] = { shape: [vocabSize, hiddenSize] };
  for (let layer = 0; layer < config.numLayers; layer++) {
    const at = `${prefix}layers.${layer}`;
    for (const name of ["q", "k", "v"] as const) {
      tensors[`${at}.self_attn.${name}_proj.weight`] = { shape: [width[name], hiddenSize] };
      if (config.hasQkvBias) tensors[`${at}.self_attn.${name}_proj.bias`] = { shape: [width[name]] };
    }
    tensors[`${at}.self_attn.o_proj.weight`] = { shape: [hiddenSize, width.q] };
    if (config.hasOutputBias) tensors[`${at}.self_attn.o_proj.bias`] = { shape: [hiddenSize] };
    for (const name of config.family.hasQkNorm ? ["q", "k"] : [])
      tensors[`${at}.self_attn.${name}_norm.weight`] = { shape: [headDim] };
    for (const name of ["gate", "up"])
      tensors[`${at}.mlp.${name}_proj.weight`] = { shape: [intermediateSize, hiddenSize] };
    tensors[`${at}.mlp.down_proj.weight`] = { shape: [hiddenSize, intermediateSize] };
    for (const name of ["input", "post_attention"])
      tensors[`${at}.${name}_layernorm.weight`] = { shape: [hiddenSize] };
  }
  return tensors;
}

/** Creates an open file of tensors; the bytes of each count up from its `fill` or its number. */
async function fileOf(tensors: Tensors) {
  const header: Record<string, object> = {};
  const parts: Uint8Array[] = [];
  let end = 0;
  for (const [name, { shape, dtype = "BF16", fill = parts.length }] of Object.entries(tensors)) {
    const size = shape.reduce((a, b) => a * b, ELEMENT_BYTES[dtype] ?? 0);
    header[name] = { dtype, shape, data_offsets: [end, end + size] };
    parts.push(Uint8Array.from({ length: size }, (_, i) => (fill + i) % 251));
    end += size;
  }
  const source = memorySource(safetensorsFile(header, Buffer.concat(parts)), "w.safetensors");
  const entries = await readSafetensors(source);
  source.reads.length = 0;
  return { source, tensors: new Map<string, TensorEntry>(entries.map((entry) => [entry.name, entry])) };
}

/** Wraps the reference backend; records created and written weights. */
async function recordingBackend(config: ModelConfig) {
  const made: WeightRef[] = [];
  const writes: { name: string; firstRow: number; bytes: Uint8Array }[] = [];
  const capacity = {
    pageSize: 4,
    maxPages: 16,
    maxSequenceLength: 64,
    maxBatchRows: 8,
    maxBatchSequences: 1,
  };
  const real = await createReferenceBackend(config, capacity);
  const backend: Backend = Object.assign(Object.create(real), {
    createWeight: (...given: Parameters<Backend["createWeight"]>) => {
      const weight = real.createWeight(...given);
      made.push(weight);
      return weight;
    },
    writeWeight: (weight: WeightRef, firstRow: number, bytes: Uint8Array) => {
      real.writeWeight(weight, firstRow, bytes);
      writes.push({ name: weight.name, firstRow, bytes });
    },
  });
  return { backend, made, writes };
}

async function load(config: ModelConfig, tensors: Tensors) {
  const file = await fileOf(tensors);
  const { backend, made, writes } = await recordingBackend(config);
  const loading = loadWeights({ tensors: file.tensors, name: "folder" }, config, backend);
  return { ...file, made, writes, loading };
}

test("every weight is created with its shape and dtype and written once, byte for byte", async () => {
  const config = parseModelConfig(json(), "config.json");
  const wanted = tensorsOf(config);
  wanted["model.norm.weight"] = { shape: [12], dtype: "F32" };
  wanted["lm_head.weight"] = { shape: [20, 12], dtype: "F16" };
  const { tensors, source, made, writes, loading } = await load(config, wanted);
  const weights = await loading;
  expect(made.map((weight) => weight.name).sort()).toEqual(Object.keys(wanted).sort());
  for (const { name, format, rows, cols } of made) {
    const entry = tensors.get(name);
    expect([format, rows * cols, cols]).toEqual([
      entry?.format,
      entry?.shape.reduce((a, b) => a * b),
      entry?.shape.at(-1),
    ]);
    const written = writes.filter((write) => write.name === name).map((write) => write.bytes);
    const stored = await source.read(entry?.offset ?? 0, entry?.sizeBytes ?? 0);
    expect(Buffer.compare(Buffer.concat(written), stored), name).toBe(0);
  }
  const [first] = weights.layers;
  expect(first.attentionInput).toMatchObject({
    norm: { name: "model.layers.0.input_layernorm.weight", kind: "vector", rows: 1, cols: 12 },
    q: { name: "model.layers.0.self_attn.q_proj.weight", kind: "matrix", rows: 24, cols: 12 },
    kBias: { name: "model.layers.0.self_attn.k_proj.bias", kind: "vector", rows: 1, cols: 12 },
    qNorm: { name: "model.layers.0.self_attn.q_norm.weight", kind: "vector", rows: 1, cols: 6 },
  });
  expect(first.attentionOutput.oBias?.name).toBe("model.layers.0.self_attn.o_proj.bias");
  expect(first.feedForward.norm.name).toBe("model.layers.0.post_attention_layernorm.weight");
  expect(weights.output).toMatchObject({ name: "lm_head.weight", format: "f16" });
});

test("weights are streamed in slices of at most 4 MiB that start at multiples of 8 rows", async () => {
  const config = parseModelConfig(
    json({ vocab_size: 1501, hidden_size: 1000, intermediate_size: 8, num_hidden_layers: 1 }),
    "config.json",
  );
  const wanted = tensorsOf(config);
  wanted["lm_head.weight"] = { shape: [1501, 1000], dtype: "F32" };
  const { source, writes, loading } = await load(config, wanted);
  await loading;
  expect(Math.max(...source.reads.map(([, length]) => length))).toBeLessThanOrEqual(4 << 20);
  const slices = writes.filter(({ name }) => name === "lm_head.weight");
  expect(slices.map(({ firstRow }) => firstRow)).toEqual([0, 1048]);
  expect(slices.map(({ bytes }) => bytes.length / 4000)).toEqual([1048, 453]);
});

test("names without the prefix are found; buffers of older versions and tensors outside the layers are ignored", async () => {
  const config = parseModelConfig(json({ tie_word_embeddings: true, attention_bias: false }), "config.json");
  const extra = {
    "rotary_emb.inv_freq": { shape: [3], dtype: "F32" },
    "layers.0.self_attn.rotary_emb.inv_freq": { shape: [3], dtype: "F32" },
    "vision.layers.0.extra": { shape: [3], dtype: "I8" },
  };
  const wanted = tensorsOf(config, "");
  const { made, loading } = await load(config, { ...wanted, ...extra });
  const weights = await loading;
  expect(weights.output).toBe(weights.embedding);
  expect(weights.layers[0].attentionInput.qBias).toBeUndefined();
  expect(made.map((weight) => weight.name).sort()).toEqual(Object.keys(wanted).sort());
});

test("tied embeddings follow transformers: equal tensors become one, different ones stay two, a single one serves as both", async () => {
  const config = parseModelConfig(json({ tie_word_embeddings: true }), "config.json");
  const wanted = tensorsOf(config);
  const head = { shape: [20, 12] };
  const load2 = async (tensors: Tensors) => (await load(config, tensors)).loading;

  const same = await load2({ ...wanted, "lm_head.weight": { ...head, fill: 0 } });
  expect(same.output).toBe(same.embedding);
  const other = await load2({ ...wanted, "lm_head.weight": { ...head, fill: 1 } });
  expect([other.embedding.name, other.output.name]).toEqual(["model.embed_tokens.weight", "lm_head.weight"]);
  const wider = await load2({ ...wanted, "lm_head.weight": { ...head, dtype: "F32" } });
  expect(wider.output.format).toBe("f32");
  const { "model.embed_tokens.weight": embedding, ...rest } = wanted;
  const alone = await load2({ ...rest, "lm_head.weight": embedding });
  expect(alone.embedding.name).toBe("lm_head.weight");
  expect(alone.output).toBe(alone.embedding);
});

test("unused tensors outside the layers are reported, except buffers that transformers ignores silently", async () => {
  const config = parseModelConfig(json(), "config.json");
  const { tensors } = await fileOf({
    ...tensorsOf(config),
    "model.layers.1.self_attn.rotary_emb.inv_freq": { shape: [3], dtype: "F32" },
    "model.layers.1.self_attn.rotary_emb.cos_cached": { shape: [3], dtype: "F32" },
    "model.layers.0.attn.masked_bias": { shape: [1] },
    "model.layers.0.self_attn.bias": { shape: [1], dtype: "I8" },
    "model.embeddings.position_ids": { shape: [4], dtype: "F32" },
    "visual.blocks.0.attn.qkv.weight": { shape: [3, 3] },
    "mtp.layers.0.input_layernorm.weight": { shape: [12] },
    "score.weight": { shape: [1, 12] },
  });
  const plain = await fileOf(tensorsOf(config));
  const { ignored, plans } = checkWeights(tensors, config, "folder");
  expect(ignored).toEqual([
    "visual.blocks.0.attn.qkv.weight",
    "mtp.layers.0.input_layernorm.weight",
    "score.weight",
  ]);
  expect(storedBytes(plans, "own", new Set(["bf16"]))).toBe(
    [...plain.tensors.values()].reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
  );
});

test("an output matrix equal to the embedding is reported as unused; a different one is used", async () => {
  const config = parseModelConfig(json({ tie_word_embeddings: true }), "config.json");
  for (const [fill, expected] of [
    [0, ["lm_head.weight"]],
    [1, []],
  ] as const) {
    const head = { "lm_head.weight": { shape: [20, 12], fill } };
    const { tensors, loading } = await load(config, { ...tensorsOf(config), ...head });
    expect(unusedOutput(await loading, tensors)).toEqual(expected);
  }
});

/** Tensors in a layer that the config does not use. */
test.each<[string, object, Tensors, string]>([
  [
    "q_norm of Qwen3 declared as Llama",
    { architectures: ["LlamaForCausalLM"] },
    { "model.layers.0.self_attn.q_norm.weight": { shape: [6] } },
    '"model.layers.0.self_attn.q_norm.weight" stands in a layer',
  ],
  [
    "biases without attention_bias",
    { attention_bias: false },
    { "model.layers.1.self_attn.k_proj.bias": { shape: [12] } },
    "(attention_bias is not true there)",
  ],
  [
    "an extra norm",
    {},
    { "model.layers.1.pre_feedforward_layernorm.weight": { shape: [12] } },
    "pre_feedforward",
  ],
  ["a bias of the MLP", {}, { "model.layers.0.mlp.up_proj.bias": { shape: [9] } }, "mlp.up_proj.bias"],
  ["scales of a quantised cache", {}, { "model.layers.0.self_attn.k_scale": { shape: [1] } }, "k_scale"],
  ["experts", {}, { "layers.0.mlp.experts.0.up_proj.weight": { shape: [9, 12] } }, "experts"],
  [
    "a name without the prefix beside one with it",
    {},
    { "layers.0.mlp.up_proj.weight": { shape: [9, 12] } },
    '"layers.0.mlp',
  ],
  ["a buffer's name in another place", {}, { "model.layers.0.mlp.bias": { shape: [9] } }, "mlp.bias"],
  [
    "another spelling of a layer's number",
    {},
    { "model.layers.00.mlp.up_proj.weight": { shape: [9, 12] } },
    "layers.00",
  ],
  ["a layer too many", {}, { "model.layers.4294967296.x": { shape: [1] } }, "num_hidden_layers 2"],
])("%s is a ModelFileError: the weights belong to another model", async (_, change, extra, message) => {
  const config = parseModelConfig(json(change), "config.json");
  const { tensors } = await fileOf({ ...tensorsOf(config), ...extra });
  const checking = () => checkWeights(tensors, config, "folder");
  expect(checking).toThrow(ModelFileError);
  expect(checking).toThrow(message);
});

test("a config with more layers than the file fails at the first missing layer, however many it claims", async () => {
  const config = parseModelConfig(json(), "config.json");
  const { tensors } = await fileOf(tensorsOf(config));
  for (const sizes of [
    { numLayers: 2 ** 31 },
    { headDim: 2 ** 30 },
    { vocabSize: 2 ** 31, hiddenSize: 2 ** 31 },
  ]) {
    const started = performance.now();
    expect(() => checkWeights(tensors, { ...config, ...sizes }, "folder")).toThrow(ModelFileError);
    expect(performance.now() - started).toBeLessThan(1000);
  }
});

test.each<[string, Tensors, string]>([
  [
    "GPTQ's names",
    { "model.layers.0.mlp.up_proj.qweight": { shape: [1, 9], dtype: "I8" } },
    "those of GPTQ or AWQ",
  ],
  ["FP8's names", { "model.layers.0.mlp.up_proj.weight_scale_inv": { shape: [1] } }, "those of FP8"],
  ["an adapter's names", { "base_model.model.lm_head.lora_A.weight": { shape: [1, 12] } }, "adapter (LoRA)"],
])("%s in place of a weight identify the checkpoint", async (_, extra, message) => {
  const config = parseModelConfig(json(), "config.json");
  const { "model.layers.0.mlp.up_proj.weight": gone, ...rest } = tensorsOf(config);
  const { tensors } = await fileOf({ ...rest, ...extra });
  expect(() => checkWeights(tensors, config, "folder")).toThrow(message);
});

test("the error for a weight that the index names and no file has names that file", async () => {
  const config = parseModelConfig(json(), "config.json");
  const { "lm_head.weight": gone, ...rest } = tensorsOf(config);
  const { tensors } = await fileOf(rest);
  const promised = new Map([["lm_head.weight", "s2.safetensors"]]);
  expect(() => checkWeights(tensors, config, "folder", promised)).toThrow(
    "the index says it is in s2.safetensors, but it is not",
  );
});

test.each<[string, Tensors | string, string]>([
  [
    "a missing matrix",
    "model.layers.1.mlp.up_proj.weight",
    '"model.layers.1.mlp.up_proj.weight" is missing; config.json asks for it with shape [9,12]',
  ],
  ["a missing norm", "model.norm.weight", '"model.norm.weight" is missing'],
  ["a missing bias", "model.layers.0.self_attn.v_proj.bias", "v_proj.bias"],
  ["a missing head norm", "model.layers.0.self_attn.q_norm.weight", "q_norm.weight"],
  ["a missing output", "lm_head.weight", '"lm_head.weight" is missing'],
  ["a missing embedding", "model.embed_tokens.weight", '"model.embed_tokens.weight" is missing'],
  [
    "a matrix turned",
    { "model.layers.0.mlp.down_proj.weight": { shape: [9, 12] } },
    "has shape [9,12], but config.json asks for [12,9]",
  ],
  [
    "another vocabulary",
    { "model.embed_tokens.weight": { shape: [21, 12] } },
    "has shape [21,12], but config.json asks for [20,12]",
  ],
  ["a vector for a matrix", { "lm_head.weight": { shape: [240] } }, "has shape [240]"],
  [
    "a quantised matrix",
    { "model.layers.1.self_attn.o_proj.weight": { shape: [12, 24], dtype: "I8" } },
    "is stored as I8; supported are BF16, F16 and F32",
  ],
])("%s is a ModelFileError before any read or creation", async (_, change, message) => {
  const config = parseModelConfig(json(), "config.json");
  const wanted = tensorsOf(config);
  if (typeof change === "string") delete wanted[change];
  else Object.assign(wanted, change);
  const { source, made, loading } = await load(config, wanted);
  await expect(loading).rejects.toThrow(ModelFileError);
  await expect(loading).rejects.toThrow(message);
  await expect(loading).rejects.toThrow("folder");
  expect([source.reads.length, made.length]).toEqual([0, 0]);
});
