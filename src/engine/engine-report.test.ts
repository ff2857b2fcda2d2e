import { expect, test } from "vitest";
import { sizesOf } from "../../test/sizes.ts";
import { bindAttention } from "../attention/bind-attention.ts";
import { createReferenceBackend } from "../backend/reference/reference-backend.ts";
import { parseModelConfig } from "../model/config.ts";
import { attentionModelOf } from "../model/model-size.ts";
import { type EngineOrigin, reportEngine } from "./engine-report.ts";

const LLAMA_8B = {
  ...{ model_type: "llama", num_hidden_layers: 32, hidden_size: 4096, intermediate_size: 14336 },
  ...{ vocab_size: 128256, num_attention_heads: 32, num_key_value_heads: 8 },
};

test.each<[string, string, object]>([
  ["DeepSeek-R1-Distill-Llama-8B", "less-is-more", { selectionLayersFrom: "paper" }],
  ["DeepSeek-R1-Distill-Llama-8B", "tidal-decode", { selectionLayersFrom: "paper" }],
  ["nothing if the request names layers", "less-is-more:layers=2+5", { selectionLayersFrom: "request" }],
  ["nothing without selection layers", "quest", {}],
])("the report says that the layers are those of %s: %s", async (of, spec, from) => {
  const vocabulary = { tokenId: () => 128_000 };
  const model = attentionModelOf(parseModelConfig(LLAMA_8B, "config.json"), 16, vocabulary);
  const backend = await createReferenceBackend(...sizesOf());
  const origin: EngineOrigin = {
    model: {
      ...{
        name: "m",
        fingerprint: "f",
        architecture: "a",
        parameters: 0,
        maxPositionEmbeddings: 0,
        kvBytesPerToken: 0,
      },
      ignoredTensors: { count: 0, names: [] },
      weights: { dtype: "own", why: "asked for", formats: [] },
    },
    ...{ why: "a test", contextNotes: [], notes: [], startedAt: 0 },
  };
  const policy = bindAttention(spec, model);
  const { attention } = reportEngine(origin, backend, {
    ...{ policy, published: model.defaultSelectionLayersOf, loadMs: 0 },
  });
  const { name, settings } = policy;
  const named = of.startsWith("DeepSeek") && { selectionLayersOf: of };
  expect(attention).toEqual({ name, settings, ...from, ...named });
  await backend.close();
});
