import { ShapeError } from "../../base/errors.ts";
import { capacityOf, type TensorRef } from "../../base/tensor-ref.ts";
import type { ModelShape, Pooling, Scores, SequenceRange, TokenSelection, UnitSet } from "../backend.ts";
import { checkHeadMap, checkPooling, checkUnits } from "../checks.ts";
import type { KernelRunner } from "./kernel-runner.ts";
import { tensorOf } from "./refs.ts";
import type { SelectionOps } from "./selection-ops.ts";

/** The selection ops of the WASM backend that pool scores, score candidates, and map heads. */
export class PoolingOps {
  readonly #runner: KernelRunner;
  readonly #selection: SelectionOps;
  readonly #model: ModelShape;

  constructor(runner: KernelRunner, selection: SelectionOps, model: ModelShape) {
    this.#runner = runner;
    this.#selection = selection;
    this.#model = model;
  }

  selectedScores(
    layer: number,
    range: SequenceRange,
    query: TensorRef,
    candidates: TokenSelection,
    out: Scores,
  ): void {
    const to = this.#selection.addressOf(range, out);
    this.#runner.run(
      "selectedScores",
      layer,
      range.first,
      range.count,
      tensorOf(query, "f32").address,
      tensorOf(candidates.indices, "u32").address,
      candidates.headGroups,
      capacityOf(candidates.indices),
      tensorOf(candidates.counts, "u32").address,
      to,
      capacityOf(out.values),
    );
  }

  poolScores(range: SequenceRange, scores: Scores, how: Pooling, out: Scores): void {
    checkPooling(scores, out);
    const from = this.#selection.addressOf(range, scores);
    const to = this.#selection.addressOf(range, out);
    this.#runner.run(
      "poolScores",
      range.first,
      range.count,
      from,
      scores.heads,
      capacityOf(scores.values),
      scores.unit,
      Number(how === "max"),
      to,
      out.heads,
      capacityOf(out.values),
    );
  }

  unitsAbove(range: SequenceRange, scores: Scores, threshold: number, out: UnitSet): void {
    const { first, count } = range;
    const { heads, unit } = scores;
    const from = this.#selection.addressOf(range, scores);
    for (let i = 0; i < count; i++) checkUnits(this.#selection.unitsOf(range, i, unit), out);
    const to = tensorOf(out.units, "u32").address;
    const [capacity, room] = [capacityOf(scores.values), capacityOf(out.units)];
    this.#runner.run("unitsAbove", first, count, from, heads, capacity, unit, threshold, out.count, to, room);
  }

  mapHeads(
    range: SequenceRange,
    selection: TokenSelection,
    map: readonly number[],
    out: TokenSelection,
  ): void {
    checkHeadMap(selection, map, out, this.#model);
    const [capacity, room] = [capacityOf(selection.indices), capacityOf(out.indices)];
    if (room < capacity)
      throw new ShapeError(`mapping sets with room for ${capacity} tokens into room for ${room}`);
    const counts = tensorOf(selection.counts, "u32").address;
    const toCounts = tensorOf(out.counts, "u32").address;
    const from = tensorOf(selection.indices, "u32").address;
    const to = tensorOf(out.indices, "u32").address;
    const heads = map.length;
    for (let s = 0; s < range.count; s++)
      for (let head = 0; head < heads; head++)
        this.#runner.run(
          "copySet",
          from + 4 * (s * heads + (map[head] ?? 0)) * capacity,
          counts + 4 * (s * heads + (map[head] ?? 0)),
          to + 4 * (s * heads + head) * room,
          toCounts + 4 * (s * heads + head),
        );
  }
}
