/** Changes of a row's logits before it is sampled, as `SamplingRow` has them. They define every backend's. */
import { ShapeError } from "../base/errors.ts";
import type { SamplingRow, TokenBias } from "./backend.ts";

/** Words of a mask of a vocabulary: 1 bit a token. */
export const maskWords = (vocabSize: number): number => Math.ceil(vocabSize / 32);

/** Adds each value to the logit of its token, in f32. NaN and infinite logits stay so. */
export function addBias(logits: Float32Array, { ids, values }: TokenBias): void {
  for (let i = 0; i < ids.length; i++) logits[ids[i]] += Math.fround(values[i]);
}

/** Makes the logits of tokens whose bit is 0 -Infinity. NaN and +Infinity stay, so that the row gives `NO_TOKEN`. */
export function applyMask(logits: Float32Array, mask: Uint32Array): void {
  for (let first = 0; first < logits.length; first += 32) {
    const word = mask[first >>> 5];
    if (word === 0xffffffff) continue;
    const end = Math.min(first + 32, logits.length);
    for (let id = first; id < end; id++)
      if (((word >>> (id - first)) & 1) === 0 && logits[id] < Number.POSITIVE_INFINITY)
        logits[id] = Number.NEGATIVE_INFINITY;
  }
}

/** @throws ShapeError for a mask of another vocabulary, and for a bias of other tokens or of NaN */
export function checkAdjustments({ bias, mask }: SamplingRow, vocabSize: number): void {
  if (mask && mask.length !== maskWords(vocabSize))
    throw new ShapeError(
      `sample: a mask of ${mask.length} words; ${vocabSize} tokens need ${maskWords(vocabSize)}`,
    );
  if (!bias) return;
  const { ids, values } = bias;
  if (ids.length !== values.length)
    throw new ShapeError(`sample: a bias of ${ids.length} tokens has ${values.length} values`);
  for (let i = 0; i < ids.length; i++) {
    const id = ids[i];
    if (!(Number.isInteger(id) && id >= 0 && id < vocabSize))
      throw new ShapeError(`sample: a bias of token ${id} in a vocabulary of ${vocabSize}`);
    if (!(values[i] < Number.POSITIVE_INFINITY))
      throw new ShapeError(`sample: a bias of ${values[i]} for token ${id}; it must be finite or -Infinity`);
  }
}
