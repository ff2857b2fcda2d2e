/** Writes the sizes and choices that kernels read from memory. */
import type { BackendShape } from "../backend.ts";
import type { Arena } from "./arena.ts";
import { WORDS_ADDRESS } from "./assembly/layout.ts";
import { extentGeometry, rowFloats, WORDS } from "./memory-map.ts";
import { TUNING_NAMES } from "./tuning.ts";

export function writeShape(arena: Arena, shape: BackendShape): void {
  const sizes = [
    ...(["hiddenSize", "intermediateSize", "numQueryHeads", "numKvHeads", "headDim", "vocabSize"] as const),
    ...(["pageSize", "maxSequenceLength", "maxBatchRows", "maxBatchSequences"] as const),
  ];
  for (const name of sizes) arena.setWord(name, shape[name]);
  const extent = extentGeometry(shape);
  arena.setWord("rowFloats", rowFloats(shape));
  arena.setWord("pageShift", Math.log2(shape.pageSize));
  arena.setWord("extentShift", Math.log2(extent.pages));
  arena.setWord("extentLayerBytes", extent.layerBytes);
  arena.setWord("pageBytes", extent.pageBytes);
  arena.setWord("boundsLayerBytes", extent.boundsLayerBytes);
  arena.setWord("boundsPageBytes", extent.boundsPageBytes);
  arena.setWord("maxPagesPerSequence", Math.ceil(shape.maxSequenceLength / shape.pageSize));
  arena.floats[WORDS_ADDRESS / 4 + WORDS.rmsNormEps] = shape.rmsNormEps;
}

/** Writes the choices that have a name; the others keep their value. */
export function writeTuning(arena: Arena, choices: Readonly<Record<string, number>>): void {
  for (const name of TUNING_NAMES) arena.setWord(name, choices[name] ?? arena.word(name));
  // f16 with Inf or NaN streams the same bytes, but its loop touches nothing.
  arena.setWord("aheadF16Special", 0);
  arena.setWord("itemF16Special", arena.word("itemF16"));
}
