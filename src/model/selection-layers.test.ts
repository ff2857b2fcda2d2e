import { describe, expect, test } from "vitest";
import { parseModelConfig } from "./config.ts";
import { attentionModelOf } from "./model-size.ts";
import { defaultSelectionLayers } from "./selection-layers.ts";

const LLAMA_8B = {
  model_type: "llama",
  num_hidden_layers: 32,
  hidden_size: 4096,
  intermediate_size: 14336,
  vocab_size: 128256,
  num_attention_heads: 32,
  num_key_value_heads: 8,
};
const LLAMA_3B = {
  ...LLAMA_8B,
  ...{ num_hidden_layers: 28, hidden_size: 3072, intermediate_size: 8192, num_attention_heads: 24 },
};
const QWEN3_8B = {
  model_type: "qwen3",
  num_hidden_layers: 36,
  hidden_size: 4096,
  intermediate_size: 12288,
  vocab_size: 151936,
  num_attention_heads: 32,
  num_key_value_heads: 8,
};
const QWEN3_4B = { ...QWEN3_8B, hidden_size: 2560, intermediate_size: 9728 };
const QWEN3_14B = {
  ...QWEN3_8B,
  ...{ num_hidden_layers: 40, hidden_size: 5120, intermediate_size: 17408, num_attention_heads: 40 },
};

test.each<[string, object, readonly number[], string | undefined]>([
  ["Llama-3.1-8B", LLAMA_8B, [2, 13], "Llama-3.1-8B"],
  ["Llama-3.2-3B", LLAMA_3B, [2, 12], "Llama-3.2-3B"],
  ["Qwen3-4B", QWEN3_4B, [2, 20], "Qwen3-4B"],
  ["Qwen3-8B", QWEN3_8B, [2, 12], "Qwen3-8B"],
  ["Qwen3-14B", QWEN3_14B, [2, 12], "Qwen3-14B"],
  // Llama-2-7B and its relatives share layers and hidden size with Llama-3.1-8B but are other models
  ["Llama-2-7B", { ...LLAMA_8B, intermediate_size: 11008, vocab_size: 32000 }, [2, 11], undefined],
  ["another family of the same sizes", { ...QWEN3_8B, model_type: "llama" }, [2, 12], undefined],
  ["three layers", { ...LLAMA_8B, num_hidden_layers: 3 }, [2], undefined],
  ["four layers", { ...LLAMA_8B, num_hidden_layers: 4 }, [2, 3], undefined],
])("%s", (_, json, layers, of) => {
  const config = parseModelConfig(json, "config.json");
  const from = of === undefined ? "guess" : "paper";
  expect(defaultSelectionLayers(config)).toEqual({ layers, from, ...(of !== undefined && { of }) });
});

test("R1-Distill-Llama-8B has the sizes of Llama-3.1-8B and is known by DeepSeek's tokens", () => {
  const config = parseModelConfig(LLAMA_8B, "config.json");
  const tokens = (names: readonly string[]) => ({
    tokenId: (token: string) => (names.includes(token) ? 128_000 + names.indexOf(token) : undefined),
  });
  const deepSeek = tokens(["<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"]);
  const llama = tokens(["<|begin_of_text|>", "<|end_of_text|>"]);
  const of = "DeepSeek-R1-Distill-Llama-8B";
  expect(defaultSelectionLayers(config, deepSeek)).toEqual({ layers: [2, 12], from: "paper", of });
  expect(defaultSelectionLayers(config, llama).layers).toEqual([2, 13]);
  expect(attentionModelOf(config, 16, deepSeek)).toMatchObject({
    defaultSelectionLayers: [2, 12],
    defaultSelectionLayersOf: of,
  });
});

describe("with sliding layers", () => {
  /** Gemma 3: every sixth layer is global. */
  const gemma = (numLayers: number, window = 512, changes: object = {}) =>
    parseModelConfig(
      {
        ...{ model_type: "gemma3_text", hidden_size: 640, intermediate_size: 2048, vocab_size: 262144 },
        ...{ num_attention_heads: 4, num_key_value_heads: 1, head_dim: 256, num_hidden_layers: numLayers },
        ...{ sliding_window: window, max_position_embeddings: 32768, hidden_activation: "gelu_pytorch_tanh" },
        layer_types: Array.from({ length: numLayers }, (_, layer) =>
          layer % 6 === 5 ? "full_attention" : "sliding_attention",
        ),
        ...changes,
      },
      "config.json",
    );

  test.each<[string, number, readonly number[]]>([
    ["the global layers that come next", 18, [5, 11]],
    ["one alone if no other comes later", 8, [5]],
    ["deeper models", 34, [5, 11]],
    ["none if all slide", 5, []],
  ])("the defaults are %s", (_, numLayers, layers) => {
    expect(defaultSelectionLayers(gemma(numLayers))).toEqual({ layers, from: "guess" });
  });

  test("a window that holds the whole context is none", () => {
    const config = gemma(18, 32768);
    expect(defaultSelectionLayers(config).layers).toEqual([2, 6]);
    expect(attentionModelOf(config, 16).windows).toBeUndefined();
    expect(attentionModelOf(gemma(6), 16).windows).toEqual([512, 512, 512, 512, 512, undefined]);
  });
});
