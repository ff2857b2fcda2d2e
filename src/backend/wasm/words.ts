/** Writes what kernels read from memory. */
import type { BackendShape } from "../backend.ts";
import type { Arena } from "./arena.ts";
import { boundsLayerBytes, layerBytes, rowFloats, WORDS, WORDS_ADDRESS } from "./memory-map.ts";
import { TUNING_NAMES } from "./tuning.ts";

export function writeShape(arena: Arena, shape: BackendShape): void {
  const sizes = [
    ...(["hiddenSize", "intermediateSize", "numQueryHeads", "numKvHeads", "headDim", "vocabSize"] as const),
    ...(["pageSize", "maxSequenceLength", "maxBatchRows", "maxBatchSequences"] as const),
  ];
  for (const name of sizes) arena.setWord(name, shape[name]);
  arena.setWord("rowFloats", rowFloats(shape));
  arena.setWord("pageShift", Math.log2(shape.pageSize));
  arena.setWord("layerBytes", layerBytes(shape));
  arena.setWord("boundsLayerBytes", boundsLayerBytes(shape));
  arena.setWord("maxPagesPerSequence", Math.ceil(shape.maxSequenceLength / shape.pageSize));
  arena.floats[WORDS_ADDRESS / 4 + WORDS.rmsNormEps] = shape.rmsNormEps;
}

/** Numbers without a name are left alone. */
export function writeTuning(arena: Arena, choices: Readonly<Record<string, number>>): void {
  for (const name of TUNING_NAMES) arena.setWord(name, choices[name] ?? arena.word(name));
  // f16 with Inf or NaN: the same stream, through a loop that touches nothing
  arena.setWord("aheadF16Special", 0);
  arena.setWord("itemF16Special", arena.word("itemF16"));
}
