import { expect, test } from "vitest";
import { parseModelConfig } from "./config.ts";
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
const QWEN3_8B = {
  model_type: "qwen3",
  num_hidden_layers: 36,
  hidden_size: 4096,
  intermediate_size: 12288,
  vocab_size: 151936,
  num_attention_heads: 32,
  num_key_value_heads: 8,
};

test.each<[string, object, readonly number[], string]>([
  ["Llama-3.1-8B", LLAMA_8B, [2, 13], "paper"],
  ["Qwen3-8B", QWEN3_8B, [2, 12], "paper"],
  // Llama-2-7B and its relatives share layers and hidden size with Llama-3.1-8B but are other models
  ["Llama-2-7B", { ...LLAMA_8B, intermediate_size: 11008, vocab_size: 32000 }, [2, 11], "guess"],
  ["another family of the same sizes", { ...QWEN3_8B, model_type: "llama" }, [2, 12], "guess"],
  ["three layers", { ...LLAMA_8B, num_hidden_layers: 3 }, [2], "guess"],
])("%s", (_, json, layers, from) => {
  const config = parseModelConfig(json, "config.json");
  expect(defaultSelectionLayers(config)).toEqual({ layers, from });
});
