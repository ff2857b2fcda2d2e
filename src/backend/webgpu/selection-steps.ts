import { ShapeError } from "../../base/errors.ts";
import type { TensorRef } from "../../base/tensor-ref.ts";
import type { Ends, Scores, SequenceRange, TokenSelection, UnitSet } from "../backend.ts";
import type { AttentionSteps } from "./attention-steps.ts";
import {
  type BatchSizes,
  type GpuContext,
  paddedHeadDim,
  scanPrelude,
  stepConstants,
  wideThreads,
} from "./context.ts";
import { DTYPE_CODES, type NumberedBuffer, WebGpuTensor } from "./refs.ts";

const WORDS = 2048; // of the bitmap in with-ends.wgsl

/** Selection: everything stays on the device. */
export class SelectionSteps {
  readonly #context: GpuContext;
  readonly #attention: AttentionSteps;
  readonly #bounds = new Map<number, NumberedBuffer>();
  readonly #scratch = new Map<string, NumberedBuffer>();

  constructor(context: GpuContext, attention: AttentionSteps) {
    this.#context = context;
    this.#attention = attention;
  }

  randomScores(batch: BatchSizes, layer: number, range: SequenceRange, seed: number, out: Scores): void {
    const { recorder, step } = this.#context;
    const kernel = recorder.kernel(["random-scores"], { LENGTHS: step.layout.lengths });
    const values = WebGpuTensor.of(out.values);
    recorder.dispatch(
      "selection",
      kernel,
      [range.first, layer, seed >>> 0, values.capacity],
      [step.storage, values],
      Math.ceil(longest(batch, range) / 256),
      range.count,
    );
  }

  updatePageBounds(batch: BatchSizes, layer: number, range: SequenceRange): void {
    const { recorder, step, shape, cacheDtype } = this.#context;
    const channels = shape.numKvHeads * paddedHeadDim(shape, cacheDtype);
    const kernel = recorder.kernel(["storage", "step", "page-bounds"], {
      ...stepConstants(this.#context),
      DTYPE: DTYPE_CODES[cacheDtype],
    });
    const keys = this.#attention.caches[layer]?.keys;
    for (let s = range.first; s < range.first + range.count; s++) {
      const start = batch.lengths[s] - batch.rowCounts[s];
      const pages = Math.ceil(batch.lengths[s] / shape.pageSize) - Math.floor(start / shape.pageSize);
      recorder.dispatch(
        "selection",
        kernel,
        [s],
        [step.storage, keys, this.#boundsOf(layer)],
        Math.ceil(channels / 64),
        pages,
      );
    }
  }

  pageScores(batch: BatchSizes, layer: number, range: SequenceRange, query: TensorRef, out: Scores): void {
    const { recorder, step, shape, cacheDtype } = this.#context;
    if (!this.#bounds.has(layer)) throw new ShapeError("pageScores before any updatePageBounds");
    const kernel = recorder.kernel(["step", "page-scores"], {
      ...stepConstants(this.#context),
      UNIT: out.unit,
      HEAD_DIM: shape.headDim,
      PADDED: paddedHeadDim(shape, cacheDtype),
      QUERY_HEADS: shape.numQueryHeads,
    });
    const values = WebGpuTensor.of(out.values);
    recorder.dispatch(
      "selection",
      kernel,
      [range.first, values.capacity],
      [step.storage, WebGpuTensor.of(query), this.#boundsOf(layer), values],
      Math.ceil(longest(batch, range) / out.unit / 64),
      shape.numQueryHeads,
      range.count,
    );
  }

  topK(batch: BatchSizes, range: SequenceRange, scores: Scores, ends: Ends, out: UnitSet): void {
    checkCandidates(batch, range, scores.unit, ends, out.count);
    if (out.count === 0) return;
    const units = WebGpuTensor.of(out.units);
    const spare = this.#spare("keyed", 16);
    this.#selectTop(range, scores, ends, out.count, {
      units,
      capacity: units.capacity,
      keyed: spare,
      best: this.#spare("best", 16),
      isKeyed: false,
    });
  }

  mergeByRank(batch: BatchSizes, range: SequenceRange, scores: Scores, ends: Ends, out: UnitSet): void {
    checkCandidates(batch, range, scores.unit, ends, out.count);
    if (out.count === 0) return;
    const { recorder, traits, shape } = this.#context;
    const { heads } = scores;
    const size = Math.max(2, 2 ** Math.ceil(Math.log2(out.count)));
    const isShared = size * 8 <= traits.workgroupBytes;
    const sequences = shape.maxBatchSequences;
    const bestCapacity = WebGpuTensor.of(scores.values).capacity;
    const keyed = this.#spare("keyed", sequences * heads * size * 8);
    const ranked = this.#spare("ranked", sequences * out.count * heads * 4);
    const best = this.#spare("best", sequences * bestCapacity * 4);
    this.#selectTop(range, scores, ends, out.count, {
      units: this.#spare("units", 16),
      capacity: size,
      keyed,
      best,
      isKeyed: true,
    });
    const sort = recorder.kernel(["sort-ranks"], {
      THREADS: Math.min(wideThreads(traits), Math.max(64, size / 2)),
      SIZE: size,
      SHARED: isShared,
    });
    recorder.dispatch(
      "selection",
      sort,
      [heads, out.count, size, bestCapacity],
      [keyed, ranked, best],
      heads,
      range.count,
    );
    const merge = recorder.kernel([scanPrelude(traits), "merge-ranks"], { THREADS: wideThreads(traits) });
    const units = WebGpuTensor.of(out.units);
    recorder.dispatch(
      "selection",
      merge,
      [heads, out.count, bestCapacity, units.capacity],
      [ranked, best, units],
      range.count,
    );
  }

  #selectTop(
    range: SequenceRange,
    scores: Scores,
    ends: Ends,
    count: number,
    to: {
      readonly units: NumberedBuffer;
      readonly keyed: NumberedBuffer;
      readonly best: NumberedBuffer;
      readonly capacity: number;
      readonly isKeyed: boolean;
    },
  ): void {
    const { recorder, traits, step } = this.#context;
    const kernel = recorder.kernel([scanPrelude(traits), "select-top"], {
      THREADS: wideThreads(traits),
      UNIT: scores.unit,
      LENGTHS: step.layout.lengths,
      KEYED: to.isKeyed,
    });
    const values = WebGpuTensor.of(scores.values);
    recorder.dispatch(
      "selection",
      kernel,
      [range.first, scores.heads, values.capacity, ends.sinks, ends.recent, count, to.capacity],
      [step.storage, values, to.units, to.keyed, to.best],
      scores.heads,
      range.count,
    );
  }

  withEnds(range: SequenceRange, set: UnitSet | undefined, ends: Ends, out: TokenSelection): void {
    const { recorder, traits, step, shape } = this.#context;
    const unit = set?.unit ?? 1;
    const kernel = recorder.kernel([scanPrelude(traits), "with-ends"], {
      THREADS: wideThreads(traits),
      UNIT: unit,
      LENGTHS: step.layout.lengths,
      WORDS,
      MAX_UNITS: Math.ceil(shape.maxSequenceLength / unit),
    });
    const units = set ? WebGpuTensor.of(set.units) : undefined;
    const indices = WebGpuTensor.of(out.indices);
    recorder.dispatch(
      "selection",
      kernel,
      [
        range.first,
        out.groups,
        set?.count ?? 0,
        units?.capacity ?? 0,
        ends.sinks,
        ends.recent,
        indices.capacity,
      ],
      [step.storage, units ?? this.#spare("units", 16), indices, WebGpuTensor.of(out.counts)],
      out.groups,
      range.count,
    );
  }

  #boundsOf(layer: number): NumberedBuffer {
    const { buffers, shape, cacheDtype } = this.#context;
    let bounds = this.#bounds.get(layer);
    if (!bounds) {
      const bytes = shape.numPages * shape.numKvHeads * paddedHeadDim(shape, cacheDtype) * 8;
      bounds = buffers.storage(`key bounds of layer ${layer}`, bytes);
      this.#bounds.set(layer, bounds);
    }
    return bounds;
  }

  #spare(name: string, bytes: number): NumberedBuffer {
    const { buffers, recorder } = this.#context;
    const known = this.#scratch.get(name);
    if (known && known.buffer.size >= bytes) return known;
    if (known) {
      recorder.submit();
      buffers.destroy(known);
    }
    const made = buffers.storage(name, bytes);
    this.#scratch.set(name, made);
    return made;
  }
}

function longest(batch: BatchSizes, range: SequenceRange): number {
  let most = 0;
  for (let s = range.first; s < range.first + range.count; s++) most = Math.max(most, batch.lengths[s]);
  return most;
}

function checkCandidates(
  batch: BatchSizes,
  range: SequenceRange,
  unit: number,
  ends: Ends,
  count: number,
): void {
  for (let s = range.first; s < range.first + range.count; s++) {
    const candidates = Math.ceil(batch.lengths[s] / unit) - ends.sinks - ends.recent;
    if (candidates < count)
      throw new ShapeError(
        `selecting ${count} units, but only ${Math.max(0, candidates)} candidates lie between the ends`,
      );
  }
}
