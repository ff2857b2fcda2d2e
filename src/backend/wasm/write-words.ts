/** Writes the sizes and choices that kernels read from memory. */
import type { Backend } from "../backend.ts";
import type { CpuCacheDtype } from "../backend-kind.ts";
import type { Arena } from "./arena.ts";
import { WORDS_ADDRESS } from "./assembly/layout.ts";
import { extentGeometry, rowFloats, WORDS } from "./memory-map.ts";
import { TUNING_NAMES } from "./tuning.ts";

const MODEL_WORDS = [
  "hiddenSize",
  "intermediateSize",
  "numQueryHeads",
  "numKvHeads",
  "headDim",
  "vocabSize",
] as const;
const CAPACITY_WORDS = ["pageSize", "maxSequenceLength", "maxBatchRows", "maxBatchSequences"] as const;

export function writeSizes(
  arena: Arena,
  { model, capacity }: Pick<Backend, "model" | "capacity">,
  cacheDtype: CpuCacheDtype,
): void {
  for (const name of MODEL_WORDS) arena.setWord(name, model[name]);
  for (const name of CAPACITY_WORDS) arena.setWord(name, capacity[name]);
  arena.setWord("rowFloats", rowFloats(model, cacheDtype));
  arena.setWord("cacheInt8", cacheDtype === "q8" ? 1 : 0);
  arena.setWord("pageShift", Math.log2(capacity.pageSize));
  const extent = extentGeometry(model, capacity, cacheDtype);
  arena.setWord("extentShift", Math.log2(extent.pages));
  arena.setWord("extentLayerBytes", extent.layerBytes);
  arena.setWord("pageBytes", extent.pageBytes);
  arena.setWord("boundsLayerBytes", extent.boundsLayerBytes);
  arena.setWord("boundsPageBytes", extent.boundsPageBytes);
  arena.setWord("maxPagesPerSequence", Math.ceil(capacity.maxSequenceLength / capacity.pageSize));
  arena.floats[WORDS_ADDRESS / 4 + WORDS.rmsNormEps] = model.rmsNormEps;
  arena.floats[WORDS_ADDRESS / 4 + WORDS.attentionScale] = model.attentionScale;
  arena.floats[WORDS_ADDRESS / 4 + WORDS.embeddingScale] = model.embeddingScale;
  arena.setWord("isGelu", Number(model.activation === "gelu_tanh"));
  arena.setWord("ropeTableBytes", 4 * capacity.maxBatchRows * model.headDim);
  const { numExperts = 0, topExperts = 0, isNormalised = false } = model.experts ?? {};
  arena.setWord("numExperts", numExperts);
  arena.setWord("topExperts", topExperts);
  arena.setWord("isNormalised", Number(isNormalised));
}

/** Writes the choices that have a name; the others keep their value. */
export function writeTuning(arena: Arena, choices: Readonly<Record<string, number>>): void {
  for (const name of TUNING_NAMES) arena.setWord(name, choices[name] ?? arena.word(name));
  // f16 with Inf or NaN streams the same bytes, but its loop touches nothing.
  arena.setWord("aheadF16Special", 0);
  arena.setWord("itemF16Special", arena.word("itemF16"));
}
