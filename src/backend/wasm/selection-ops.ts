import { ShapeError } from "../../base/errors.ts";
import { capacityOf, type TensorRef } from "../../base/tensor-ref.ts";
import type { KeptEnds, Scores, SequenceRange, TokenSelection, UnitSet } from "../backend.ts";
import { checkCandidates } from "../checks.ts";
import type { BatchRegion } from "./batch-region.ts";
import type { KernelRunner } from "./kernel-runner.ts";
import type { KvCache } from "./kv-cache.ts";
import { tensorOf } from "./refs.ts";

/** The selection ops of the WASM backend: checks of sizes, and calls of the kernels. */
export class SelectionOps {
  readonly #runner: KernelRunner;
  readonly #batch: BatchRegion;
  readonly #cache: KvCache;

  constructor(runner: KernelRunner, batch: BatchRegion, cache: KvCache) {
    this.#runner = runner;
    this.#batch = batch;
    this.#cache = cache;
  }

  /** Address of scores that have room for the range's sequences. */
  addressOf(range: SequenceRange, scores: Scores): number {
    const capacity = capacityOf(scores.values);
    for (let i = 0; i < range.count; i++) {
      const units = this.unitsOf(range, i, scores.unit);
      if (units > capacity)
        throw new ShapeError(`scores of ${units} units do not fit into a tensor with room for ${capacity}`);
    }
    return tensorOf(scores.values, "f32").address;
  }

  /** Units of the i-th sequence of a range. */
  unitsOf(range: SequenceRange, i: number, unit: number): number {
    return Math.ceil(this.#batch.length(range.first + i) / unit);
  }

  scores(layer: number, range: SequenceRange, query: TensorRef, out: Scores): void {
    const to = this.addressOf(range, out);
    const q = tensorOf(query, "f32").address;
    this.#runner.run("scores", layer, range.first, range.count, q, to, capacityOf(out.values));
  }

  randomScores(layer: number, range: SequenceRange, seed: number, out: Scores): void {
    const to = this.addressOf(range, out);
    const stride = out.heads * capacityOf(out.values);
    this.#runner.run("randomScores", layer, range.first, range.count, seed, to, stride);
  }

  updatePageBounds(layer: number, range: SequenceRange): void {
    this.#cache.addBounds();
    this.#runner.run("updateBounds", layer, range.first, range.count);
  }

  pageScores(layer: number, range: SequenceRange, query: TensorRef, out: Scores): void {
    if (!this.#cache.hasBounds) throw new ShapeError("pageScores before any updatePageBounds");
    const to = this.addressOf(range, out);
    const q = tensorOf(query, "f32").address;
    const capacity = capacityOf(out.values);
    this.#runner.run("pageScores", layer, range.first, range.count, q, to, capacity, out.unit);
  }

  topK(range: SequenceRange, scores: Scores, ends: KeptEnds, out: UnitSet): void {
    this.#rank("topK", range, scores, ends, out);
  }

  mergeByRank(range: SequenceRange, scores: Scores, ends: KeptEnds, out: UnitSet): void {
    this.#rank("mergeByRank", range, scores, ends, out);
  }

  #rank(
    name: "topK" | "mergeByRank",
    range: SequenceRange,
    scores: Scores,
    ends: KeptEnds,
    out: UnitSet,
  ): void {
    const { first, count } = range;
    const { sinks, recent } = ends;
    for (let i = 0; i < count; i++) {
      checkCandidates(this.unitsOf(range, i, scores.unit), ends, out.count);
    }
    if (out.count > capacityOf(out.units))
      throw new ShapeError(
        `${out.count} units do not fit into a tensor with room for ${capacityOf(out.units)}`,
      );
    const from = tensorOf(scores.values, "f32").address;
    const to = tensorOf(out.units, "u32").address;
    const { heads, unit, values } = scores;
    const room = capacityOf(out.units);
    this.#runner.run(
      name,
      first,
      count,
      from,
      heads,
      capacityOf(values),
      unit,
      sinks,
      recent,
      out.count,
      to,
      room,
    );
  }

  expandSelection(range: SequenceRange, set: UnitSet | undefined, ends: KeptEnds, out: TokenSelection): void {
    const { sinks, recent } = ends;
    const unit = set?.unit ?? 1;
    const count = set?.count ?? 0;
    const room = capacityOf(out.indices);
    for (let i = 0; i < range.count; i++) {
      const most = Math.min(this.#batch.length(range.first + i), (count + sinks + recent) * unit);
      if (most > room)
        throw new ShapeError(
          `a selection of ${most} tokens does not fit into a tensor with room for ${room}`,
        );
    }
    const units = set ? tensorOf(set.units, "u32").address : 0;
    const capacity = set ? capacityOf(set.units) : 0;
    const to = tensorOf(out.indices, "u32").address;
    const counts = tensorOf(out.counts, "u32").address;
    this.#runner.run(
      "expandSelection",
      range.first,
      range.count,
      units,
      out.headGroups,
      capacity,
      unit,
      sinks,
      recent,
      count,
      to,
      room,
      counts,
    );
  }
}
