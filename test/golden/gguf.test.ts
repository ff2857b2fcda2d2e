/** GGUF files that llama.cpp converted from tiny models, against the logits of those models (make-gguf-fixtures.py). */
import { describe, expect, test } from "vitest";
import type { EngineOptions } from "../../src/open-options.ts";
import { place } from "../place/here.ts";

/** What each file is there for. */
const FILES = {
  "llama-bias": "rows of q and k, and their biases, in llama.cpp's order",
  "llama-3": "RoPE's factors as a tensor, a tied output, BF16",
  "llama-linear": "F16",
  mistral: "the architecture llama, as older files have it",
  "ministral-3": "YaRN, queries scaled by position",
  qwen2: "biases",
  "qwen3-yarn": "YaRN, norms of heads",
  "qwen3-moe": "experts in one tensor",
  smollm3: "a layer without RoPE",
  "phi3-longrope": "fused q, k, v and gate, up; a part of each head turns",
  gemma3: "windows, two RoPEs, norms that include their 1",
};


interface Golden {
  readonly input_ids: readonly number[];
  readonly logits: Readonly<Record<string, readonly number[]>>;
}

/** f32 sums in another order than PyTorch's. */
const ERROR = 1e-4;

const BACKENDS: readonly EngineOptions[] = [
  ...(place.name === "Node" ? [{ backend: "reference" } as const] : []),
  { backend: "wasm", threads: 1 },
];

describe.each(BACKENDS)("$backend", (options) => {
  test.each(Object.entries(FILES))(`%s (%s): logits within ${ERROR} of the largest`, async (name) => {
    const golden: Golden = JSON.parse(await place.readText(`test/golden/gguf/${name}.json`));
    const engine = await place.openEngine({ ...options, model: `test/golden/gguf/${name}.gguf` });
    const logits = await engine.logits(golden.input_ids);
    for (const [position, expected] of Object.entries(golden.logits)) {
      const scale = Math.max(...expected.map(Math.abs));
      const start = Number(position) * expected.length;
      const worst = Math.max(...expected.map((logit, i) => Math.abs(logit - logits[start + i])));
      expect(worst / scale, `position ${position}`).toBeLessThan(ERROR);
    }
    await engine.close();
  });
});
