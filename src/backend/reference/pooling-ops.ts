import { ShapeError } from "../../base/errors.ts";
import { capacityOf, type TensorRef } from "../../base/tensor-ref.ts";
import type { Pooling, Scores, SequenceRange, TokenSelection, UnitSet } from "../backend.ts";
import { checkHeadMap, checkPooling, checkUnits } from "../checks.ts";
import { headLogits, headsOf } from "./attention.ts";
import { floats, integers } from "./refs.ts";
import { type ReferenceStep, scoreOffset } from "./selection-ops.ts";

/** The selection ops of the reference backend that pool scores, score candidates, and map heads. */
export class PoolingOps {
  readonly #step: ReferenceStep;

  constructor(step: ReferenceStep) {
    this.#step = step;
  }

  selectedScores(
    layer: number,
    range: SequenceRange,
    query: TensorRef,
    candidates: TokenSelection,
    out: Scores,
  ): void {
    const batch = this.#step.batch();
    const capacity = capacityOf(candidates.indices);
    const headsPerGroup = this.#step.model.numQueryHeads / candidates.headGroups;
    for (let i = 0; i < range.count; i++) {
      const s = range.first + i;
      headsOf(this.#step.model, batch.firstRows[s]).forEach((head, h) => {
        const set = i * candidates.headGroups + Math.floor(h / headsPerGroup);
        const count = integers(candidates.counts)[set];
        const positions = integers(candidates.indices).subarray(set * capacity, set * capacity + count);
        const cache = this.#step.layer(layer);
        const logits = headLogits(cache, this.#step, batch, s, floats(query), head, positions);
        const start = scoreOffset(out, i, h);
        floats(out.values).fill(Number.NEGATIVE_INFINITY, start, start + batch.lengths[s]);
        positions.forEach((position, at) => {
          floats(out.values)[start + position] = logits[at] ?? Number.NaN;
        });
      });
    }
  }

  poolScores(range: SequenceRange, scores: Scores, how: Pooling, out: Scores): void {
    checkPooling(scores, out);
    for (let i = 0; i < range.count; i++) {
      const numUnits = Math.ceil(this.#step.batch().lengths[range.first + i] / scores.unit);
      const rows = Array.from({ length: scores.heads }, (_, h) => {
        const start = scoreOffset(scores, i, h);
        return floats(scores.values).subarray(start, start + numUnits);
      });
      const run = scores.heads / out.heads;
      for (let h = 0; h < out.heads; h++)
        floats(out.values).set(poolRows(rows.slice(h * run, (h + 1) * run), how), scoreOffset(out, i, h));
    }
  }

  unitsAbove(range: SequenceRange, scores: Scores, threshold: number, out: UnitSet): void {
    const room = capacityOf(out.units);
    for (let i = 0; i < range.count; i++) {
      const numUnits = Math.ceil(this.#step.batch().lengths[range.first + i] / scores.unit);
      checkUnits(numUnits, out);
      for (let h = 0; h < scores.heads; h++) {
        const at = scoreOffset(scores, i, h);
        const isAbove = (unit: number) =>
          unit < numUnits && floats(scores.values)[at + unit] > Math.fround(threshold);
        const units = Array.from({ length: out.count }, (_, unit) => (isAbove(unit) ? unit : 0));
        integers(out.units).set(units, (i * scores.heads + h) * room);
      }
    }
  }

  mapHeads(
    range: SequenceRange,
    selection: TokenSelection,
    map: readonly number[],
    out: TokenSelection,
  ): void {
    checkHeadMap(selection, map, out, this.#step.model);
    const [from, to] = [integers(selection.indices), integers(out.indices)];
    const [capacity, room] = [capacityOf(selection.indices), capacityOf(out.indices)];
    const heads = map.length;
    for (let i = 0; i < range.count; i++)
      map.forEach((source, head) => {
        const [set, mapped] = [i * heads + source, i * heads + head];
        const count = integers(selection.counts)[set];
        if (count > room) throw new ShapeError(`mapping a set of ${count} tokens into room for ${room}`);
        integers(out.counts)[mapped] = count;
        to.set(from.subarray(set * capacity, set * capacity + count), mapped * room);
      });
  }
}

/** One score a unit, of the scores of several heads. */
function poolRows(rows: readonly Float32Array[], how: Pooling): number[] {
  const parts = how === "max" ? rows : rows.map(softmax);
  const [first = new Float32Array()] = rows;
  return Array.from(first, (_, unit) => {
    const isMasked = rows.every((row) => row[unit] === Number.NEGATIVE_INFINITY);
    if (isMasked) return Number.NEGATIVE_INFINITY;
    const values = parts.map((part) => part[unit]);
    if (how === "max") return values.reduce((a, b) => Math.max(a, b));
    return values.reduce((a, b) => a + b) / rows.length;
  });
}

/** Weights of one head; none if all of its scores are -Infinity. */
function softmax(row: Float32Array): Float64Array {
  const largest = row.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  if (largest === Number.NEGATIVE_INFINITY) return new Float64Array(row.length);
  const powers = Float64Array.from(row, (score) => Math.exp(score - largest));
  const mass = powers.reduce((a, b) => a + b);
  return powers.map((power) => power / mass);
}
