import { ShapeError } from "../../base/errors.ts";
import { hashUnit } from "../../base/random.ts";
import { capacityOf, type TensorRef } from "../../base/tensor-ref.ts";
import type { KeptEnds, Scores, SequenceRange, StepBatch, TokenSelection, UnitSet } from "../backend.ts";
import { checkCandidates } from "../checks.ts";
import { headLogits, headsOf, pageScore, positionsFrom } from "./attention.ts";
import { type LayerCache, type Sizes, updateBounds } from "./cache.ts";
import { floats, integers } from "./refs.ts";
import { expandUnits, mergeRanks, rankUnits } from "./selection.ts";

/** The current step of the backend. */
export interface ReferenceStep extends Sizes {
  /** @throws ShapeError before the first step */
  batch(): StepBatch;
  layer(layer: number): LayerCache;
}

/** The selection ops of the reference backend. */
export class SelectionOps {
  readonly #step: ReferenceStep;

  constructor(step: ReferenceStep) {
    this.#step = step;
  }

  scores(layer: number, range: SequenceRange, query: TensorRef, out: Scores): void {
    const batch = this.#step.batch();
    for (let i = 0; i < range.count; i++) {
      const s = range.first + i;
      const positions = positionsFrom(0, batch.lengths[s]);
      headsOf(this.#step.model, batch.firstRows[s]).forEach((head, h) => {
        const logits = headLogits(
          this.#step.layer(layer),
          this.#step,
          batch,
          s,
          floats(query),
          head,
          positions,
        );
        emitScores(out, i, h, logits);
      });
    }
  }

  randomScores(layer: number, range: SequenceRange, seed: number, out: Scores): void {
    for (let i = 0; i < range.count; i++) {
      const length = this.#step.batch().lengths[range.first + i];
      const start = scoreOffset(out, i, 0);
      for (let p = 0; p < length; p++) floats(out.values)[start + p] = hashUnit(seed, layer, length, p);
    }
  }

  updatePageBounds(layer: number, range: SequenceRange): void {
    for (let s = range.first; s < range.first + range.count; s++)
      updateBounds(this.#step.layer(layer), this.#step, this.#step.batch(), s);
  }

  pageScores(layer: number, range: SequenceRange, query: TensorRef, out: Scores): void {
    const batch = this.#step.batch();
    const { bounds } = this.#step.layer(layer);
    if (!bounds) throw new ShapeError("pageScores before any updatePageBounds");
    for (let i = 0; i < range.count; i++) {
      const s = range.first + i;
      headsOf(this.#step.model, batch.firstRows[s]).forEach((head, h) => {
        for (let u = 0; u * out.unit < batch.lengths[s]; u++)
          floats(out.values)[scoreOffset(out, i, h) + u] = pageScore(
            bounds,
            this.#step,
            batch,
            { sequence: s, from: u * out.unit, to: Math.min(batch.lengths[s], (u + 1) * out.unit) },
            floats(query),
            head,
          );
      });
    }
  }

  topK(range: SequenceRange, scores: Scores, ends: KeptEnds, out: UnitSet): void {
    for (let i = 0; i < range.count; i++)
      this.#ranked(range, i, scores, ends, out.count).forEach((units, h) => {
        this.#writeUnits(out, i * out.headGroups + h, units);
      });
  }

  mergeByRank(range: SequenceRange, scores: Scores, ends: KeptEnds, out: UnitSet): void {
    for (let i = 0; i < range.count; i++)
      this.#writeUnits(out, i, mergeRanks(this.#ranked(range, i, scores, ends, out.count), out.count));
  }

  /** The best `count` units of each head. @throws ShapeError if there are fewer candidates */
  #ranked(range: SequenceRange, i: number, scores: Scores, ends: KeptEnds, count: number): number[][] {
    const numUnits = Math.ceil(this.#step.batch().lengths[range.first + i] / scores.unit);
    checkCandidates(numUnits, ends, count);
    return Array.from({ length: scores.heads }, (_, h) =>
      rankUnits(floats(scores.values), scoreOffset(scores, i, h), numUnits, ends, count),
    );
  }

  #writeUnits(out: UnitSet, row: number, units: readonly number[]): void {
    integers(out.units).set(units, row * capacityOf(out.units));
  }

  expandSelection(range: SequenceRange, set: UnitSet | undefined, ends: KeptEnds, out: TokenSelection): void {
    for (let i = 0; i < range.count; i++) {
      const length = this.#step.batch().lengths[range.first + i];
      for (let g = 0; g < out.headGroups; g++) {
        const start = (i * out.headGroups + g) * (set ? capacityOf(set.units) : 0);
        const units = set ? integers(set.units).subarray(start, start + set.count) : [];
        const positions = expandUnits(units, set?.unit ?? 1, length, ends);
        integers(out.indices).set(positions, (i * out.headGroups + g) * capacityOf(out.indices));
        integers(out.counts)[i * out.headGroups + g] = positions.length;
      }
    }
  }
}

/** Writes the scores of one head in row `row` of the range. */
export function emitScores(scores: Scores, row: number, head: number, logits: readonly number[]): void {
  floats(scores.values).set(logits, scoreOffset(scores, row, head));
}

/** First element of the scores of one head in row `row` of the range. */
export function scoreOffset(scores: Scores, row: number, head: number): number {
  return (row * scores.heads + head) * capacityOf(scores.values);
}
