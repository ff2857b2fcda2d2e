import { describe, expect, test } from "vitest";
import { field } from "../../../test/golden/gguf-file.ts";
import { memoryFolder } from "../../../test/golden/memory-folder.ts";
import {
  f32Tensor,
  HEADS,
  HIDDEN,
  TENSORS,
  type TinyChanges,
  tinyGguf,
} from "../../../test/golden/tiny-gguf.ts";
import { parseModelConfig } from "../../model/config.ts";
import { checkWeights } from "../../model/weights.ts";
import { openCheckpoint } from "../checkpoint.ts";
import type { TensorEntry } from "../tensor-entry.ts";

const open = (changes: TinyChanges = {}) =>
  openCheckpoint({ ...memoryFolder({ "m.gguf": tinyGguf(changes) }), weightFile: "m.gguf" });
const configWith = async (metadata: TinyChanges["metadata"]) =>
  (await open({ metadata: metadata ?? {} })).config;

/** Reads the first value of each row of a matrix, in the matrix's order. */
async function firstOfRows(entry: TensorEntry | undefined): Promise<number[]> {
  if (!entry) return [];
  const bytes = await entry.source.read(entry.offset, entry.sizeBytes);
  const values = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
  const [rows = 0, cols = 0] = entry.shape;
  return Array.from({ length: rows }, (_, row) => values[(entry.rowOrder?.(row) ?? row) * cols]);
}

describe("metadata become config.json", () => {
  test("with every size, and numbers as decimals", async () => {
    const checkpoint = await open();
    expect(checkpoint.config).toEqual({
      architectures: ["LlamaForCausalLM"],
      model_type: "llama",
      vocab_size: 6,
      hidden_size: 8,
      intermediate_size: 12,
      num_hidden_layers: 1,
      num_attention_heads: 2,
      num_key_value_heads: 1,
      head_dim: 4,
      max_position_embeddings: 64,
      rms_norm_eps: 1e-5,
      tie_word_embeddings: true,
      attention_bias: false,
      mlp_bias: false,
      rope_parameters: { rope_type: "default", rope_theta: 500_000 },
      eos_token_id: null,
    });
    expect(checkpoint).toMatchObject({ name: "memory/m.gguf", files: ["m.gguf"], tokenizer: undefined });
  });

  test("with llama.cpp's defaults where keys are absent", async () => {
    const config = await configWith({
      "llama.attention.head_count_kv": undefined,
      "llama.rope.freq_base": undefined,
    });
    expect(config).toMatchObject({ num_key_value_heads: 2, rope_parameters: { rope_theta: 10_000 } });
  });

  test("with one value where a file has the same for each layer", async () => {
    const config = await configWith({
      "llama.attention.head_count": field.list(5, [field.i32(2), field.i32(2)]),
    });
    expect(config).toMatchObject({ num_attention_heads: 2 });
  });

  test.each<[string, TinyChanges["metadata"], object]>([
    [
      "none",
      { "llama.rope.scaling.type": field.text("none"), "llama.rope.scaling.factor": field.f32(4) },
      { rope_type: "default" },
    ],
    ["linear", { "llama.rope.scaling.factor": field.f32(2.5) }, { rope_type: "linear", factor: 2.5 }],
    [
      "linear, by the old key",
      { "llama.rope.scale_linear": field.f32(4) },
      { rope_type: "linear", factor: 4 },
    ],
    ["a factor of 1", { "llama.rope.scaling.factor": field.f32(1) }, { rope_type: "default" }],
    [
      "yarn",
      {
        "llama.rope.scaling.type": field.text("yarn"),
        "llama.rope.scaling.factor": field.f32(4),
        "llama.rope.scaling.original_context_length": field.u32(16),
      },
      { rope_type: "yarn", factor: 4, original_max_position_embeddings: 16, beta_fast: 32, beta_slow: 1 },
    ],
    [
      "yarn with its own factor on attention",
      {
        "llama.rope.scaling.type": field.text("yarn"),
        "llama.rope.scaling.factor": field.f32(4),
        "llama.rope.scaling.yarn_attn_factor": field.f32(1.25),
        "llama.rope.scaling.yarn_beta_fast": field.f32(16),
      },
      { rope_type: "yarn", original_max_position_embeddings: 64, beta_fast: 16, attention_factor: 1.25 },
    ],
  ])("with RoPE scaled as %s", async (_, metadata, expected) => {
    const { rope_parameters: rope } = await configWith(metadata);
    expect(rope).toEqual(expect.objectContaining(expected));
  });

  test("with Llama 3's factors from their tensor", async () => {
    const factors = new Uint8Array(Float32Array.of(1, 8).buffer);
    const tensors = [...TENSORS, { name: "rope_freqs.weight", type: 0, sizes: [2], data: factors }];
    const checkpoint = await open({ tensors });
    expect(checkpoint.config.rope_parameters).toEqual({
      rope_type: "longrope",
      rope_theta: 500_000,
      short_factor: [1, 8],
      long_factor: [1, 8],
      attention_factor: 1,
      original_max_position_embeddings: 64,
    });
    expect(checkpoint.tensors.has("rope_freqs.weight")).toBe(false);
  });

  test("and the generation config, where a converter wrote one", async () => {
    const { generationConfig } = await open({
      metadata: {
        "general.sampling.temp": field.f32(0.6),
        "general.sampling.top_k": field.i32(20),
        "tokenizer.ggml.eos_token_id": field.u32(5),
      },
    });
    expect(generationConfig).toMatchObject({ temperature: Math.fround(0.6), topK: 20, eosTokenIds: [5] });
    expect((await open()).generationConfig).toMatchObject({ temperature: 0, eosTokenIds: undefined });
  });
});

describe("tensors", () => {
  test("get Hugging Face's names and shapes, all that the model wants and none besides", async () => {
    const { tensors, config, configName, name } = await open();
    expect(tensors.get("model.layers.0.mlp.down_proj.weight")).toMatchObject({
      shape: [8, 12],
      fileDtype: "F32",
      format: "f32",
    });
    expect(checkWeights(tensors, parseModelConfig(config, configName), name).ignored).toEqual([]);
  });

  test("of q and k have the rows of each head in Hugging Face's order", async () => {
    const { tensors } = await open();
    const row = (n: number) => n * HIDDEN; // its first value
    const attention = "model.layers.0.self_attn";
    expect(await firstOfRows(tensors.get(`${attention}.q_proj.weight`))).toEqual(
      [0, 2, 1, 3, 4, 6, 5, 7].map(row),
    );
    expect(await firstOfRows(tensors.get(`${attention}.k_proj.weight`))).toEqual([0, 2, 1, 3].map(row));
    expect(await firstOfRows(tensors.get(`${attention}.v_proj.weight`))).toEqual([0, 1, 2, 3].map(row));
  });

  test("of q, k and v in one matrix are parts of it", async () => {
    const fused = f32Tensor("blk.0.attn_qkv.weight", [HIDDEN, HEADS.q + HEADS.k + HEADS.v]);
    const tensors = [...TENSORS.filter(({ name }) => !/attn_[qkv]\./.test(name)), fused];
    const checkpoint = await open({ tensors });
    const rows = (part: string) =>
      firstOfRows(checkpoint.tensors.get(`model.layers.0.self_attn.${part}_proj.weight`));
    expect(await rows("q")).toEqual([0, 2, 1, 3, 4, 6, 5, 7].map((n) => n * HIDDEN));
    expect(await rows("k")).toEqual([8, 10, 9, 11].map((n) => n * HIDDEN));
    expect(await rows("v")).toEqual([12, 13, 14, 15].map((n) => n * HIDDEN));
  });

  test("outside the layers that nothing uses stay, and are reported by their own names", async () => {
    const { tensors, config, configName, name } = await open({
      tensors: [...TENSORS, f32Tensor("cls.weight", [8, 2])],
    });
    expect(checkWeights(tensors, parseModelConfig(config, configName), name).ignored).toEqual(["cls.weight"]);
  });

  test("of a layer that nothing uses fail the check of the weights", async () => {
    const { tensors, config, configName, name } = await open({
      tensors: [...TENSORS, f32Tensor("blk.0.ssm_a", [8])],
    });
    expect(() => checkWeights(tensors, parseModelConfig(config, configName), name)).toThrow(
      '"model.layers.0.ssm_a"',
    );
  });

  test("of an output matrix end the tie", async () => {
    const { config } = await open({ tensors: [...TENSORS, f32Tensor("output.weight", [HIDDEN, 6])] });
    expect(config.tie_word_embeddings).toBe(false);
  });
});

const q2k = { name: "blk.0.ffn_up.weight", type: 10, sizes: [256, 2], data: new Uint8Array(168) };
const without = (name: string) => TENSORS.filter((tensor) => tensor.name !== name);

test.each<[string, TinyChanges, string | RegExp]>([
  [
    "no architecture",
    { metadata: { "general.architecture": undefined } },
    "general.architecture is undefined",
  ],
  [
    "another architecture",
    { metadata: { "general.architecture": field.text("mamba") } },
    /"mamba" is not supported; supported are .*qwen3moe/,
  ],
  [
    "an architecture of JavaScript's",
    { metadata: { "general.architecture": field.text("constructor") } },
    '"constructor" is not supported',
  ],
  [
    "a size that is missing",
    { metadata: { "llama.block_count": undefined } },
    "llama.block_count is missing; expected a whole number above 0",
  ],
  ["a size of zero", { metadata: { "llama.embedding_length": field.u32(0) } }, "llama.embedding_length is 0"],
  [
    "a size of 2^60",
    { metadata: { "llama.context_length": field.u64(2n ** 60n) } },
    "llama.context_length is 1152921504606846976",
  ],
  ["a text for a size", { metadata: { "llama.block_count": field.text("1") } }, 'llama.block_count is "1"'],
  [
    "NaN for a number",
    { metadata: { "llama.attention.layer_norm_rms_epsilon": field.f32(Number.NaN) } },
    "layer_norm_rms_epsilon is NaN",
  ],
  [
    "heads that differ by layer",
    { metadata: { "llama.attention.head_count_kv": field.list(4, [field.u32(1), field.u32(2)]) } },
    "the same in all layers",
  ],
  [
    "values of another length than keys",
    { metadata: { "llama.attention.value_length": field.u32(8) } },
    "llama.attention.value_length is 8; expected 4",
  ],
  [
    "part of a head turned",
    { metadata: { "llama.rope.dimension_count": field.u32(2) } },
    "llama.rope.dimension_count is 2; expected 4",
  ],
  [
    "experts of the Llama architecture",
    { metadata: { "llama.expert_count": field.u32(8) } },
    "Mixtral is not supported",
  ],
  [
    "another scaling",
    { metadata: { "llama.rope.scaling.type": field.text("ntk") } },
    'llama.rope.scaling.type is "ntk"',
  ],
  [
    "a model of embeddings",
    { metadata: { "llama.attention.causal": field.bool(false) } },
    "llama.attention.causal is false",
  ],
  [
    "a type without a decoder",
    { tensors: [...without(q2k.name), q2k] },
    /"blk.0.ffn_up.weight" is of type Q2_K, which is not read; .*Q4_K_M/,
  ],
  [
    "a bias of the output",
    { tensors: [...TENSORS, f32Tensor("output.bias", [6])] },
    "its output matrix has a bias",
  ],
  [
    "two tensors for one",
    { tensors: [...TENSORS, f32Tensor("model.norm.weight", [8])] },
    'two tensors are "model.norm.weight"',
  ],
  [
    "factors of RoPE that are blocks",
    { tensors: [...TENSORS, { name: "rope_freqs.weight", type: 8, sizes: [32], data: new Uint8Array(34) }] },
    "has type Q8_0",
  ],
  [
    "factors of RoPE that are zero",
    { tensors: [...TENSORS, f32Tensor("rope_freqs.weight", [2])] },
    "has the factor 0",
  ],
])("a file with %s is refused", async (_, changes, message) => {
  const folder = { ...memoryFolder({ "m.gguf": tinyGguf(changes) }), weightFile: "m.gguf" };
  const opening = openCheckpoint(folder);
  await expect(opening).rejects.toThrow(message);
  await expect(opening).rejects.toMatchObject({
    code: "model-file",
    message: expect.stringContaining("memory/m.gguf"),
  });
  expect([...folder.opened]).toEqual([]);
});

describe("a folder", () => {
  const listed = (files: Readonly<Record<string, Uint8Array | object>>) => ({
    ...memoryFolder(files),
    list: async () => Object.keys(files),
  });

  test("with one model as GGUF opens, whatever encoders lie beside it", async () => {
    const checkpoint = await openCheckpoint(
      listed({ "mmproj-F16.gguf": new Uint8Array(9), "my.gguf": tinyGguf(), "a.txt": {} }),
    );
    expect(checkpoint.files).toEqual(["my.gguf"]);
  });

  test("with several is refused, and they are named", async () => {
    const opening = openCheckpoint(listed({ "a-Q4_0.gguf": tinyGguf(), "a-Q8_0.gguf": tinyGguf() }));
    await expect(opening).rejects.toThrow(
      "holds 2 models as GGUF files; name one of them: a-Q4_0.gguf, a-Q8_0.gguf",
    );
  });

  test("with a model as GGUF does not stand for a .safetensors file that was named", async () => {
    const files = { "m.gguf": tinyGguf(), "model.safetensors": {} };
    const opening = openCheckpoint({ ...listed(files), weightFile: "model.safetensors" });
    await expect(opening).rejects.toThrow("there is no config.json beside its weights; download it too");
  });

  test("with config.json is a Hugging Face checkpoint, unless a file is named", async () => {
    const files = { "config.json": { model_type: "llama" }, "m.gguf": tinyGguf() };
    await expect(openCheckpoint(listed(files))).rejects.toThrow(
      "m.gguf is a GGUF file: give the path of the file itself",
    );
    const checkpoint = await openCheckpoint({ ...listed(files), weightFile: "m.gguf" });
    expect(checkpoint.files).toEqual(["m.gguf"]);
  });

  test("without the file that was named is refused", async () => {
    const opening = openCheckpoint({ ...listed({ "a.gguf": tinyGguf() }), weightFile: "b.gguf" });
    await expect(opening).rejects.toThrow("opening memory/b.gguf: there is no such file");
  });
});
