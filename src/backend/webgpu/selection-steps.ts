import { ShapeError } from "../../base/errors.ts";
import type { TensorRef } from "../../base/tensor-ref.ts";
import type { Ends, Scores, SequenceRange, TokenSelection, UnitSet } from "../backend.ts";
import type { AttentionSteps } from "./attention-steps.ts";
import {
  type BatchSizes,
  candidateSpace,
  type GpuContext,
  paddedHeadDim,
  reducePrelude,
  scanPrelude,
  stepConstants,
  subgroupConstants,
  wideThreads,
} from "./context.ts";
import { DTYPE_CODES, type NumberedBuffer, WebGpuTensor } from "./refs.ts";

const WORDS = 2048; // of the bitmap in with-ends.wgsl
/** Tokens by which grids grow. */
const BLOCK = 4096;
/** Fewest candidates of a head for which a sample is taken first. */
const LEAST_SAMPLED = 4096;
/** Most workgroups of merge-places.wgsl a sequence: each counts all marks first. */
const MERGE_GROUPS = 64;

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
    const values = WebGpuTensor.of(out.values);
    const blocks = blocksOf(batch, range);
    recorder.plan(`random ${range.first},${range.count},${layer},${seed},${values.id},${blocks}`, () =>
      recorder.dispatch(
        "selection",
        recorder.kernel(["random-scores"], { LENGTHS: step.layout.lengths }),
        [range.first, layer, seed >>> 0, values.capacity],
        [step.storage, values],
        (blocks * BLOCK) / 256,
        range.count,
      ),
    );
  }

  updatePageBounds(batch: BatchSizes, layer: number, range: SequenceRange): void {
    const { recorder, step, shape, cacheDtype } = this.#context;
    const channels = shape.numKvHeads * paddedHeadDim(shape, cacheDtype);
    const keys = this.#attention.caches[layer]?.keys;
    for (let s = range.first; s < range.first + range.count; s++) {
      const start = batch.lengths[s] - batch.rowCounts[s];
      const pages = Math.ceil(batch.lengths[s] / shape.pageSize) - Math.floor(start / shape.pageSize);
      recorder.plan(`bounds ${layer},${s},${pages}`, () =>
        recorder.dispatch(
          "selection",
          recorder.kernel(["storage", "step", "page-bounds"], {
            ...stepConstants(this.#context),
            DTYPE: DTYPE_CODES[cacheDtype],
          }),
          [s],
          [step.storage, keys, this.#boundsOf(layer)],
          Math.ceil(channels / 64),
          pages,
        ),
      );
    }
  }

  pageScores(batch: BatchSizes, layer: number, range: SequenceRange, query: TensorRef, out: Scores): void {
    const { recorder, step, shape, cacheDtype } = this.#context;
    if (!this.#bounds.has(layer)) throw new ShapeError("pageScores before any updatePageBounds");
    const values = WebGpuTensor.of(out.values);
    const from = WebGpuTensor.of(query);
    const blocks = blocksOf(batch, range);
    const key = `pages ${layer},${range.first},${range.count},${from.id},${values.id},${out.unit},${blocks}`;
    recorder.plan(key, () =>
      recorder.dispatch(
        "selection",
        recorder.kernel(["step", "page-scores"], {
          ...stepConstants(this.#context),
          UNIT: out.unit,
          HEAD_DIM: shape.headDim,
          PADDED: paddedHeadDim(shape, cacheDtype),
          QUERY_HEADS: shape.numQueryHeads,
        }),
        [range.first, values.capacity],
        [step.storage, from, this.#boundsOf(layer), values],
        Math.ceil((blocks * BLOCK) / out.unit / 64),
        shape.numQueryHeads,
        range.count,
      ),
    );
  }

  topK(batch: BatchSizes, range: SequenceRange, scores: Scores, ends: Ends, out: UnitSet): void {
    checkCandidates(batch, range, scores.unit, ends, out.count);
    if (out.count === 0) return;
    const units = WebGpuTensor.of(out.units);
    const blocks = blocksOf(batch, range);
    this.#context.recorder.plan(`top ${keyOf(range, scores, ends, out)},${blocks}`, () =>
      this.#selectTop(blocks, range, scores, ends, out.count, { units, capacity: units.capacity }),
    );
  }

  mergeByRank(batch: BatchSizes, range: SequenceRange, scores: Scores, ends: Ends, out: UnitSet): void {
    checkCandidates(batch, range, scores.unit, ends, out.count);
    if (out.count === 0) return;
    const blocks = blocksOf(batch, range);
    this.#context.recorder.plan(`merge ${keyOf(range, scores, ends, out)},${blocks}`, () => {
      if (out.count <= this.#space) this.#mergeInPlace(blocks, range, scores, ends, out);
      else this.#mergeByLists(blocks, range, scores, ends, out);
    });
  }

  /** Heads are ranked in workgroup memory; the merge counts the marks of first occurrences. */
  #mergeInPlace(blocks: number, range: SequenceRange, scores: Scores, ends: Ends, out: UnitSet): void {
    const { recorder, traits, shape, step } = this.#context;
    const { heads, unit } = scores;
    const capacity = WebGpuTensor.of(scores.values).capacity;
    const sequences = shape.maxBatchSequences;
    const words = Math.ceil((out.count * heads) / 32);
    const best = this.#spare("least places", sequences * capacity * 4, ~0);
    const firsts = this.#spare("first places", sequences * words * 4);
    const counters = this.#spare("units taken", sequences * 4);
    this.#selectTop(blocks, range, scores, ends, out.count, { best, firsts, counters, words });
    const constants = { LENGTHS: step.layout.lengths, UNIT: unit };
    const most = Math.ceil((blocks * BLOCK) / unit);
    recorder.dispatch(
      "selection",
      recorder.kernel(["first-places"], constants),
      [range.first, capacity, words],
      [step.storage, best, firsts],
      Math.ceil(most / 256),
      range.count,
    );
    const units = WebGpuTensor.of(out.units);
    const threads = traits.isEmulated ? 64 : 256;
    recorder.dispatch(
      "selection",
      recorder.kernel([scanPrelude(traits), "merge-places"], {
        ...constants,
        ...subgroupConstants(traits),
        THREADS: threads,
      }),
      [range.first, capacity, words, out.count, units.capacity],
      [step.storage, firsts, best, units, counters],
      Math.min(MERGE_GROUPS, Math.ceil(most / threads)),
      range.count,
    );
  }

  /** For sets too large for workgroup memory: lists in memory, sorted there, walked by one workgroup. */
  #mergeByLists(blocks: number, range: SequenceRange, scores: Scores, ends: Ends, out: UnitSet): void {
    const { recorder, traits, shape } = this.#context;
    const { heads } = scores;
    const size = Math.max(2, 2 ** Math.ceil(Math.log2(out.count)));
    const isShared = size * 8 <= traits.workgroupBytes;
    const sequences = shape.maxBatchSequences;
    const bestCapacity = WebGpuTensor.of(scores.values).capacity;
    const keyed = this.#spare("keyed", sequences * heads * size * 8);
    const ranked = this.#spare("ranked", sequences * out.count * heads * 4);
    const best = this.#spare("best", sequences * bestCapacity * 4);
    this.#selectTop(blocks, range, scores, ends, out.count, { keyed, best, capacity: size });
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
    const merge = recorder.kernel([scanPrelude(traits), "merge-ranks"], {
      ...subgroupConstants(traits),
      THREADS: wideThreads(traits),
    });
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
    blocks: number,
    range: SequenceRange,
    scores: Scores,
    ends: Ends,
    count: number,
    to: {
      /** Units go out, `capacity` a head. */
      readonly units?: NumberedBuffer;
      /** Keyed units go out, `capacity` a head. */
      readonly keyed?: NumberedBuffer;
      readonly capacity?: number;
      /** Ranks go into it. */
      readonly best?: NumberedBuffer;
      readonly firsts?: NumberedBuffer;
      readonly counters?: NumberedBuffer;
      readonly words?: number;
    },
  ): void {
    const { recorder, traits, step } = this.#context;
    const isRanked = to.firsts !== undefined;
    const isKeyed = to.keyed !== undefined;
    // a sample pays where a pass over all candidates costs more than sorting what it leaves
    const isSampled = ((blocks - 1) * BLOCK) / scores.unit >= LEAST_SAMPLED;
    const isFast = isSampled && !isKeyed && count * 4 <= this.#space * 3;
    const needed = 2 ** Math.ceil(Math.log2(Math.max(64, count)));
    const threads = wideThreads(traits);
    const kernel = recorder.kernel(
      [reducePrelude(traits, threads), scanPrelude(traits), "candidates", "select-top"],
      {
        ...subgroupConstants(traits),
        THREADS: threads,
        LANES: threads,
        UNIT: scores.unit,
        LENGTHS: step.layout.lengths,
        FAST: isFast,
        SPACE: isFast ? this.#space : isRanked ? needed : 1,
        RANKED: isRanked,
        KEYED: isKeyed,
      },
    );
    const values = WebGpuTensor.of(scores.values);
    // writable bindings must not share a buffer
    const none = (name: string) => this.#spare(`no ${name}`, 16);
    recorder.dispatch(
      "selection",
      kernel,
      [
        ...[range.first, scores.heads, values.capacity, ends.sinks, ends.recent, count],
        ...[to.capacity ?? 0, to.words ?? 0],
      ],
      [
        ...[
          step.storage,
          values,
          to.units ?? none("units"),
          to.keyed ?? none("keyed"),
          to.best ?? none("best"),
        ],
        ...[to.firsts ?? none("firsts"), to.counters ?? none("counters")],
      ],
      scores.heads,
      range.count,
    );
  }

  /** Pairs that select-top.wgsl has room for beside its bins. */
  get #space(): number {
    return candidateSpace(this.#context.traits, 8192);
  }

  withEnds(range: SequenceRange, set: UnitSet | undefined, ends: Ends, out: TokenSelection): void {
    const { recorder, traits, step, shape } = this.#context;
    const unit = set?.unit ?? 1;
    const units = set && WebGpuTensor.of(set.units);
    const indices = WebGpuTensor.of(out.indices);
    const counts = WebGpuTensor.of(out.counts);
    const key =
      `ends ${range.first},${range.count},${units?.id},${set?.count},${unit},${ends.sinks},${ends.recent},` +
      `${indices.id},${counts.id},${out.groups}`;
    recorder.plan(key, () =>
      recorder.dispatch(
        "selection",
        recorder.kernel([scanPrelude(traits), "with-ends"], {
          ...subgroupConstants(traits),
          THREADS: wideThreads(traits),
          UNIT: unit,
          LENGTHS: step.layout.lengths,
          WORDS,
          MAX_UNITS: Math.ceil(shape.maxSequenceLength / unit),
        }),
        [
          ...[range.first, out.groups, set?.count ?? 0, units?.capacity ?? 0],
          ...[ends.sinks, ends.recent, indices.capacity],
        ],
        [step.storage, units ?? this.#spare("no units", 16), indices, counts],
        out.groups,
        range.count,
      ),
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

  /** A buffer kept for later calls; grown where it is too small. fill: each of its words, where not 0. */
  #spare(name: string, bytes: number, fill = 0): NumberedBuffer {
    const { buffers, recorder, device } = this.#context;
    const known = this.#scratch.get(name);
    if (known && known.buffer.size >= bytes) return known;
    if (known) {
      recorder.submit();
      buffers.destroy(known);
    }
    const made = buffers.storage(name, bytes);
    if (fill !== 0)
      device.queue.writeBuffer(made.buffer, 0, new Uint32Array(made.buffer.size / 4).fill(fill));
    this.#scratch.set(name, made);
    return made;
  }
}

/** Blocks of tokens that hold the longest sequence: grids grow by blocks, so that plans hold for a while. */
function blocksOf(batch: BatchSizes, range: SequenceRange): number {
  let most = 0;
  for (let s = range.first; s < range.first + range.count; s++) most = Math.max(most, batch.lengths[s]);
  return Math.ceil(most / BLOCK);
}

function keyOf(range: SequenceRange, scores: Scores, ends: Ends, out: UnitSet): string {
  const [values, units] = [WebGpuTensor.of(scores.values), WebGpuTensor.of(out.units)];
  return `${range.first},${range.count},${values.id},${scores.heads},${scores.unit},${ends.sinks},${ends.recent},${units.id},${out.count}`;
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
