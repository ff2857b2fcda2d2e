import { capacityOf, type TensorRef } from "../../base/tensor-ref.ts";
import type { KeySketch, Scores, SequenceRange } from "../backend.ts";
import { sketchWords } from "../sketch-words.ts";
import { headsOf } from "./attention.ts";
import { slotOf } from "./cache.ts";
import { floats, integers } from "./refs.ts";
import { type ReferenceStep, scoreOffset } from "./selection-ops.ts";

/** `Backend.updateKeySketch`. */
export function updateKeySketch(
  step: ReferenceStep,
  layer: number,
  range: SequenceRange,
  { keys }: KeySketch,
): void {
  const { model, capacity } = step;
  const batch = step.batch();
  const words = sketchWords(model.headDim);
  for (let s = range.first; s < range.first + range.count; s++)
    for (let position = batch.validBounds[s]; position < batch.lengths[s]; position++)
      for (let head = 0; head < model.numKvHeads; head++) {
        const row = slotOf(batch, capacity, s, position) * model.numKvHeads + head;
        const key = step.layer(layer).keys.subarray(row * model.headDim, (row + 1) * model.headDim);
        integers(keys).set(sketchOf(key), row * words);
      }
}

/** The words of a key's sketch. */
function sketchOf(key: Float32Array): Uint32Array {
  const words = new Uint32Array(sketchWords(key.length));
  const codes = new Uint8Array(words.buffer, 0, 4 * (words.length - 1));
  const scale = Math.fround(key.reduce((most, k) => Math.max(most, Math.abs(k)), 0) / 7);
  const code = (channel: number) => {
    const k = key[channel] ?? 0;
    return scale === 0 ? 8 : 8 + halfToEven(Math.fround(k / scale));
  };
  for (let i = 0; i < codes.length; i++) {
    const channel = 32 * Math.floor(i / 16) + (i % 16);
    codes[i] = code(channel) | (code(channel + 16) << 4);
  }
  new Float32Array(words.buffer)[words.length - 1] = scale;
  return words;
}

/** The nearest integer in -7..7; of two as near, the even one. A quotient by a subnormal scale may be past 7. */
function halfToEven(x: number): number {
  const down = Math.floor(x);
  const nearest = x - down === 0.5 ? down + (down & 1) : Math.round(x);
  return Math.max(-7, Math.min(7, nearest));
}

/** `Backend.sketchScores`. */
export function sketchScores(
  step: ReferenceStep,
  range: SequenceRange,
  query: TensorRef,
  { sketch: { keys }, out }: { readonly sketch: KeySketch; readonly out: Scores },
): void {
  const { model, capacity } = step;
  const batch = step.batch();
  const words = sketchWords(model.headDim);
  const bytes = new Uint8Array(integers(keys).buffer, integers(keys).byteOffset);
  const scales = new Float32Array(bytes.buffer, bytes.byteOffset);
  if (capacityOf(out.values) === 0) return;
  for (let i = 0; i < range.count; i++) {
    const s = range.first + i;
    for (const [head, { queryOffset: at, kvHead }] of headsOf(model, batch.firstRows[s]).entries()) {
      const isFirst = head % (model.numQueryHeads / model.numKvHeads) === 0;
      for (let position = 0; position < batch.lengths[s]; position++) {
        const row = (slotOf(batch, capacity, s, position) * model.numKvHeads + kvHead) * words;
        let sum = 0;
        for (let d = 0; d < model.headDim; d++) {
          const byte = bytes[4 * row + 16 * Math.floor(d / 32) + (d % 16)] ?? 0;
          sum += (floats(query)[at + d] ?? 0) * (((d % 32 < 16 ? byte : byte >> 4) & 15) - 8);
        }
        const score = sum * (scales[row + words - 1] ?? 0) * model.attentionScale;
        const to = scoreOffset(out, i, kvHead) + position;
        floats(out.values)[to] = isFirst ? score : Math.max(floats(out.values)[to] ?? score, score);
      }
    }
  }
}
