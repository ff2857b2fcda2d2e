import { ShapeError } from "../../base/errors.ts";
import type { TensorRef } from "../../base/tensor-ref.ts";
import type { KeptEnds, Scores, SequenceRange, TokenSelection, UnitSet } from "../backend.ts";
import { checkCandidates } from "../checks.ts";
import type { CommandLists } from "./command-lists.ts";
import { type BatchSizes, cachePrelude, type GpuContext, paddedHeadDim, stepConstants } from "./context.ts";
import { candidateSpace, scanPrelude, subgroupConstants, wideThreads } from "./device-traits.ts";
import type { KvCache } from "./kv-cache.ts";
import { type NumberedBuffer, WebGpuTensor } from "./refs.ts";

/** Grids grow by this many tokens. */
export const GRID_STEP_TOKENS = 4096;
/** Maximum workgroups of merge-rank-keys.wgsl per sequence: each counts all marks first. */
const MERGE_WORKGROUPS = 128;

/** Bits in which select-top.wgsl marks the rank keys that are first occurrences, `words` per sequence. */
interface MarkBuffers {
  readonly firsts: NumberedBuffer;
  /** Marks of the previous merge, which this one clears. */
  readonly stale: NumberedBuffer;
  readonly words: number;
  readonly staleWords: number;
}

/** Inputs of a choice of units. */
interface Choice {
  readonly range: SequenceRange;
  readonly scores: Scores;
  readonly ends: KeptEnds;
}

/** The selection ops. They read nothing back to the host. */
export class SelectionOps {
  readonly #context: GpuContext;
  readonly #cache: KvCache;
  readonly #scratch = new Map<string, NumberedBuffer>();
  readonly #lists: Readonly<Record<"random" | "bounds" | "pages" | "top" | "merge" | "expand", CommandLists>>;
  /** Index of the buffer, of two, that the next merge marks. */
  #isOdd = false;
  /** Words of the other buffer that the previous merge left marked. */
  #staleWords = 0;

  constructor(context: GpuContext, cache: KvCache) {
    this.#context = context;
    this.#cache = cache;
    const newLists = () => context.recorder.newCommandLists();
    this.#lists = {
      ...{ random: newLists(), bounds: newLists(), pages: newLists() },
      ...{ top: newLists(), merge: newLists(), expand: newLists() },
    };
  }

  randomScores(batch: BatchSizes, layer: number, range: SequenceRange, seed: number, out: Scores): void {
    const { recorder, stepBuffer } = this.#context;
    const values = WebGpuTensor.of(out.values);
    const gridSteps = gridStepsOf(batch, range);
    const node = nodeIn(this.#lists.random, range).at(values.id).at(seed).at(gridSteps).at(layer);
    if (recorder.replay(node)) return;
    recorder.keep(node, () =>
      recorder.dispatch({
        category: "selection",
        kernel: recorder.kernel(["random-scores"], { LENGTHS: stepBuffer.layout.lengths }),
        params: { first_sequence: range.first, layer, seed: seed >>> 0, capacity: values.capacity },
        bindings: { step: stepBuffer.storage, scores: values },
        grid: [(gridSteps * GRID_STEP_TOKENS) / 256, range.count],
      }),
    );
  }

  updatePageBounds(batch: BatchSizes, layer: number, range: SequenceRange): void {
    const { recorder, stepBuffer, model, capacity, cacheDtype } = this.#context;
    const channels = model.numKvHeads * paddedHeadDim(model, cacheDtype);
    const keys = this.#cache.layer(layer).keys;
    const prelude = cachePrelude(this.#context);
    for (let s = range.first; s < range.first + range.count; s++) {
      const start = batch.validBounds[s];
      const pages = Math.ceil(batch.lengths[s] / capacity.pageSize) - Math.floor(start / capacity.pageSize);
      const node = this.#lists.bounds.at(s).at(pages).at(layer);
      if (recorder.replay(node)) continue;
      recorder.keep(node, () =>
        recorder.dispatch({
          category: "selection",
          kernel: recorder.kernel([...prelude.files, "page-bounds"], {
            ...stepConstants(this.#context),
            ...prelude.constants,
          }),
          params: { sequence: s },
          bindings: { step: stepBuffer.storage, keys, bounds: this.#cache.boundsOf(layer) },
          grid: [Math.ceil(channels / 64), pages],
        }),
      );
    }
  }

  pageScores(batch: BatchSizes, layer: number, range: SequenceRange, query: TensorRef, out: Scores): void {
    const { recorder, stepBuffer, model, cacheDtype } = this.#context;
    if (!this.#cache.layer(layer).bounds) throw new ShapeError("pageScores before any updatePageBounds");
    const values = WebGpuTensor.of(out.values);
    const from = WebGpuTensor.of(query);
    const gridSteps = gridStepsOf(batch, range);
    const node = nodeIn(this.#lists.pages, range)
      .at(from.id)
      .at(values.id)
      .at(out.unit)
      .at(gridSteps)
      .at(layer);
    if (recorder.replay(node)) return;
    recorder.keep(node, () =>
      recorder.dispatch({
        category: "selection",
        kernel: recorder.kernel(["step", "page-scores"], {
          ...stepConstants(this.#context),
          UNIT: out.unit,
          HEAD_DIM: model.headDim,
          PADDED: paddedHeadDim(model, cacheDtype),
          QUERY_HEADS: model.numQueryHeads,
        }),
        params: { first_sequence: range.first, capacity: values.capacity },
        bindings: {
          step: stepBuffer.storage,
          query: from,
          bounds: this.#cache.boundsOf(layer),
          scores: values,
        },
        grid: [Math.ceil((gridSteps * GRID_STEP_TOKENS) / out.unit / 64), model.numQueryHeads, range.count],
      }),
    );
  }

  topK(batch: BatchSizes, range: SequenceRange, scores: Scores, ends: KeptEnds, out: UnitSet): void {
    checkRange(batch, range, scores.unit, ends, out.count);
    if (out.count === 0) return;
    const units = WebGpuTensor.of(out.units);
    const gridSteps = gridStepsOf(batch, range);
    const node = nodeOf(this.#lists.top, range, scores, ends, out).at(gridSteps);
    if (this.#context.recorder.replay(node)) return;
    this.#context.recorder.keep(node, () =>
      this.#selectTop({ range, scores, ends }, out.count, { out: units, capacity: units.capacity }),
    );
  }

  mergeByRank(batch: BatchSizes, range: SequenceRange, scores: Scores, ends: KeptEnds, out: UnitSet): void {
    checkRange(batch, range, scores.unit, ends, out.count);
    if (out.count === 0) return;
    const gridSteps = gridStepsOf(batch, range);
    const { recorder } = this.#context;
    const node = nodeOf(this.#lists.merge, range, scores, ends, out).at(gridSteps);
    if (out.count <= this.#space) {
      const marks = this.#nextMarks(range, scores.heads, out.count);
      const marked = node.at(marks.firsts.id).at(marks.staleWords);
      if (recorder.replay(marked)) return;
      recorder.keep(marked, () => this.#mergeInPlace({ range, scores, ends }, out, { gridSteps, marks }));
    } else if (!recorder.replay(node)) {
      recorder.keep(node, () => this.#mergeByLists({ range, scores, ends }, out));
    }
  }

  /** For sets that fit workgroup memory: ranks heads there, then merges by counting the marks of first occurrences. */
  #mergeInPlace(
    choice: Choice,
    out: UnitSet,
    { gridSteps, marks }: { readonly gridSteps: number; readonly marks: MarkBuffers },
  ): void {
    const { recorder, traits, stepBuffer } = this.#context;
    const { range, scores } = choice;
    const { unit } = scores;
    const capacity = WebGpuTensor.of(scores.values).capacity;
    const sequences = roomFor(range);
    const best = this.#spare("least rank keys", sequences * capacity * 4, ~0);
    const counters = this.#spare("units taken", sequences * 4);
    this.#selectTop(choice, out.count, { best, counters, marks });
    const units = WebGpuTensor.of(out.units);
    const threads = traits.isSoftware ? 64 : 256;
    recorder.dispatch({
      category: "selection",
      kernel: recorder.kernel([scanPrelude(traits), "bits", "merge-rank-keys"], {
        ...subgroupConstants(traits),
        THREADS: threads,
      }),
      params: {
        ...{ lengths: stepBuffer.layout.lengths + range.first, unit, capacity },
        ...{ first_words: marks.words, count: out.count, out_capacity: units.capacity },
      },
      bindings: { step: stepBuffer.storage, firsts: marks.firsts, best, units, counters },
      grid: [
        Math.min(MERGE_WORKGROUPS, Math.ceil((gridSteps * GRID_STEP_TOKENS) / unit / threads)),
        range.count,
      ],
    });
  }

  /** Buffers for the marks of a merge: a clean one, and that of the previous merge, which this one clears. */
  #nextMarks(range: SequenceRange, heads: number, count: number): MarkBuffers {
    const words = Math.ceil((count * heads) / 32);
    const bytes = this.#context.capacity.maxBatchSequences * words * 4;
    const buffers = [this.#spare("rank keys, even", bytes), this.#spare("rank keys, odd", bytes)];
    const [firsts, stale] = this.#isOdd ? buffers.reverse() : buffers;
    const marks = {
      firsts: firsts as NumberedBuffer,
      stale: stale as NumberedBuffer,
      words,
      staleWords: this.#staleWords,
    };
    if (this.#context.recorder.isDry) return marks;
    this.#isOdd = !this.#isOdd;
    this.#staleWords = range.count * words;
    return marks;
  }

  /** For sets too large for workgroup memory: sorts lists in storage; one workgroup walks them. */
  #mergeByLists(choice: Choice, out: UnitSet): void {
    const { recorder, traits } = this.#context;
    const { range, scores } = choice;
    const { heads } = scores;
    const size = Math.max(2, 2 ** Math.ceil(Math.log2(out.count)));
    const isShared = size * 8 <= traits.workgroupBytes;
    const sequences = roomFor(range);
    const bestCapacity = WebGpuTensor.of(scores.values).capacity;
    const keyed = this.#spare("keyed", sequences * heads * size * 8);
    const ranked = this.#spare("ranked", sequences * out.count * heads * 4);
    const best = this.#spare("best", sequences * bestCapacity * 4);
    this.#selectTop(choice, out.count, { out: keyed, isKeyed: true, best, capacity: size });
    const sort = recorder.kernel(["keys", "sort-ranks"], {
      THREADS: Math.min(wideThreads(traits), Math.max(64, size / 2)),
      SIZE: size,
      SHARED: isShared,
    });
    recorder.dispatch({
      category: "selection",
      kernel: sort,
      params: { heads, count: out.count, keyed_capacity: size, best_capacity: bestCapacity },
      bindings: { keyed, ranked, best },
      grid: [heads, range.count],
    });
    const merge = recorder.kernel([scanPrelude(traits), "merge-ranks"], {
      ...subgroupConstants(traits),
      THREADS: wideThreads(traits),
    });
    const units = WebGpuTensor.of(out.units);
    recorder.dispatch({
      category: "selection",
      kernel: merge,
      params: { heads, count: out.count, best_capacity: bestCapacity, out_capacity: units.capacity },
      bindings: { ranked, best, units },
      grid: [range.count],
    });
  }

  #selectTop(
    { range, scores, ends }: Choice,
    count: number,
    to: {
      /** Receives units or, if keyed, pairs of unit and key: `capacity` per head. */
      readonly out?: NumberedBuffer;
      readonly isKeyed?: boolean;
      readonly capacity?: number;
      /** Receives the lowest node of each unit. */
      readonly best?: NumberedBuffer;
      readonly marks?: MarkBuffers;
      readonly counters?: NumberedBuffer;
    },
  ): void {
    const { recorder, traits, tuning, stepBuffer } = this.#context;
    const { marks, isKeyed = false } = to;
    const isFast = !isKeyed && count * 4 <= this.#space * 3;
    const preludes = [scanPrelude(traits), "keys", "bins", "select-radix"] as const;
    const kernel = recorder.kernel([...preludes, "select-top"], {
      ...subgroupConstants(traits),
      THREADS: wideThreads(traits),
      FAST: isFast,
      AHEAD: tuning.selectFours,
      SPACE: isFast || marks ? this.#space : 1,
      RANKED: marks !== undefined,
      KEYED: isKeyed,
    });
    const values = WebGpuTensor.of(scores.values);
    const { unit, heads } = scores;
    recorder.dispatch({
      category: "selection",
      kernel,
      params: {
        ...{ lengths: stepBuffer.layout.lengths + range.first, unit, heads, capacity: values.capacity },
        ...{ sinks: ends.sinks, recent: ends.recent, count, out_capacity: to.capacity ?? 0 },
        ...{ first_words: marks?.words ?? 0, stale_words: marks?.staleWords ?? 0 },
      },
      bindings: {
        ...{ step: stepBuffer.storage, scores: values, out: to.out ?? "unused", best: to.best ?? "unused" },
        ...{ firsts: marks?.firsts ?? "unused", stale: marks?.stale ?? "unused" },
        counters: to.counters ?? "unused",
      },
      grid: [heads, range.count],
    });
  }

  /** Pairs that fit workgroup memory beside the bins of select-top.wgsl. */
  get #space(): number {
    return candidateSpace(this.#context.traits, 8192);
  }

  expandSelection(range: SequenceRange, set: UnitSet | undefined, ends: KeptEnds, out: TokenSelection): void {
    const { recorder, traits, stepBuffer } = this.#context;
    const unit = set?.unit ?? 1;
    const units = set && WebGpuTensor.of(set.units);
    const indices = WebGpuTensor.of(out.indices);
    const counts = WebGpuTensor.of(out.counts);
    const node = nodeIn(this.#lists.expand, range)
      .at(units?.id ?? 0)
      .at(set?.count ?? 0)
      .at(unit)
      .at(ends.sinks)
      .at(ends.recent)
      .at(indices.id)
      .at(counts.id)
      .at(out.headGroups);
    if (recorder.replay(node)) return;
    recorder.keep(node, () =>
      recorder.dispatch({
        category: "selection",
        kernel: recorder.kernel([scanPrelude(traits), "bits", "expand-selection"], {
          ...subgroupConstants(traits),
          THREADS: wideThreads(traits),
          WORDS: traits.workgroupBytes >= 32768 ? 2048 : 1024,
        }),
        params: {
          ...{ lengths: stepBuffer.layout.lengths + range.first, unit, groups: out.headGroups },
          ...{ count: set?.count ?? 0, unit_capacity: units?.capacity ?? 0 },
          ...{ sinks: ends.sinks, recent: ends.recent, capacity: indices.capacity },
        },
        bindings: { step: stepBuffer.storage, units: units ?? "unused", indices, counts },
        grid: [out.headGroups, range.count],
      }),
    );
  }

  /** A scratch buffer, kept for later calls and replaced if it is too small. fill: value of each word. */
  #spare(name: string, bytes: number, fill = 0): NumberedBuffer {
    const { buffers, recorder } = this.#context;
    const known = this.#scratch.get(name);
    if (known && known.buffer.size >= bytes) return known;
    if (known) {
      recorder.submit();
      buffers.destroy(known);
    }
    const made = buffers.storage(name, bytes, fill);
    this.#scratch.set(name, made);
    return made;
  }
}

/** Sequences that scratch buffers have room for: grown by powers of two, so that few concurrent requests take little. */
function roomFor({ count }: SequenceRange): number {
  return 2 ** Math.ceil(Math.log2(count));
}

/** Blocks of tokens that hold the longest sequence: grids grow by gridSteps, so that command lists stay valid for a while. */
export function gridStepsOf(batch: BatchSizes, range: SequenceRange): number {
  let most = 0;
  for (let s = range.first; s < range.first + range.count; s++) most = Math.max(most, batch.lengths[s]);
  return Math.ceil(most / GRID_STEP_TOKENS);
}

/** The node of a range's command lists. */
export function nodeIn(lists: CommandLists, { first, count }: SequenceRange): CommandLists {
  return lists.at(first).at(count);
}

/** The node of the command lists of a choice from scores. */
function nodeOf(
  lists: CommandLists,
  range: SequenceRange,
  scores: Scores,
  ends: KeptEnds,
  out: UnitSet,
): CommandLists {
  return nodeIn(lists, range)
    .at(WebGpuTensor.of(scores.values).id)
    .at(scores.heads)
    .at(scores.unit)
    .at(ends.sinks)
    .at(ends.recent)
    .at(WebGpuTensor.of(out.units).id)
    .at(out.count);
}

function checkRange(
  batch: BatchSizes,
  range: SequenceRange,
  unit: number,
  ends: KeptEnds,
  count: number,
): void {
  for (let s = range.first; s < range.first + range.count; s++)
    checkCandidates(Math.ceil(batch.lengths[s] / unit), ends, count);
}
