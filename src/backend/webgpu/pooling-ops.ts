import type { Pooling, Scores, SequenceRange, TokenSelection, UnitSet } from "../backend.ts";
import { checkHeadMap, checkPooling, checkUnits } from "../checks.ts";
import type { CommandLists } from "./command-lists.ts";
import type { BatchSizes, GpuContext } from "./context.ts";
import { reducePrelude, subgroupConstants, wideThreads } from "./device-traits.ts";
import { type NumberedBuffer, WebGpuTensor } from "./refs.ts";
import { GRID_STEP_TOKENS, gridStepsOf, nodeIn } from "./selection-ops.ts";

/** Invocations of a workgroup of the kernels that have one for each unit. */
const UNITS_A_GROUP = 256;

/** The selection ops that pool scores, mask them, and map heads. */
export class PoolingOps {
  readonly #context: GpuContext;
  readonly #lists: Readonly<Record<"mask" | "pool" | "above" | "map", CommandLists>>;
  /** Head maps on the device, by identity. */
  readonly #maps = new WeakMap<readonly number[], NumberedBuffer>();
  #states: NumberedBuffer | undefined;

  constructor(context: GpuContext) {
    this.#context = context;
    const newLists = () => context.recorder.newCommandLists();
    this.#lists = { mask: newLists(), pool: newLists(), above: newLists(), map: newLists() };
  }

  /** Makes all scores of the range -Infinity; unit 1. */
  maskScores(batch: BatchSizes, range: SequenceRange, out: Scores): void {
    const { recorder, stepBuffer } = this.#context;
    const values = WebGpuTensor.of(out.values);
    const gridSteps = gridStepsOf(batch, range);
    const node = nodeIn(this.#lists.mask, range).at(values.id).at(out.heads).at(gridSteps);
    if (recorder.replay(node)) return;
    recorder.keep(node, () =>
      recorder.dispatch({
        category: "selection",
        kernel: recorder.kernel(["mask-scores"], {}),
        params: {
          lengths: stepBuffer.layout.lengths + range.first,
          heads: out.heads,
          capacity: values.capacity,
        },
        bindings: { step: stepBuffer.storage, scores: values },
        grid: [(gridSteps * GRID_STEP_TOKENS) / UNITS_A_GROUP, out.heads, range.count],
      }),
    );
  }

  poolScores(batch: BatchSizes, range: SequenceRange, scores: Scores, how: Pooling, out: Scores): void {
    checkPooling(scores, out);
    const { recorder } = this.#context;
    const gridSteps = gridStepsOf(batch, range);
    const node = nodeIn(this.#lists.pool, range)
      .at(WebGpuTensor.of(scores.values).id)
      .at(scores.heads)
      .at(scores.unit)
      .at(Number(how === "max"))
      .at(WebGpuTensor.of(out.values).id)
      .at(out.heads)
      .at(gridSteps);
    if (recorder.replay(node)) return;
    recorder.keep(node, () => {
      const states = how === "max" ? "unused" : this.#weigh(range, scores, scores.heads / out.heads);
      this.#pool(range, scores, out, { states, gridSteps });
    });
  }

  /** The largest score of each head and the factor of its weights. */
  #weigh(range: SequenceRange, scores: Scores, run: number): NumberedBuffer {
    const { recorder, traits, stepBuffer, buffers, capacity, model } = this.#context;
    const bytes = capacity.maxBatchSequences * model.numQueryHeads * 8;
    this.#states ??= buffers.storage("softmax of scores", bytes);
    const values = WebGpuTensor.of(scores.values);
    const threads = wideThreads(traits);
    recorder.dispatch({
      category: "selection",
      kernel: recorder.kernel([reducePrelude(traits, threads), "weigh-scores"], {
        ...subgroupConstants(traits),
        THREADS: threads,
        LANES: threads,
      }),
      params: {
        lengths: stepBuffer.layout.lengths + range.first,
        unit: scores.unit,
        heads: scores.heads,
        capacity: values.capacity,
        run,
      },
      bindings: { step: stepBuffer.storage, scores: values, states: this.#states },
      grid: [scores.heads, range.count],
    });
    return this.#states;
  }

  #pool(
    range: SequenceRange,
    scores: Scores,
    out: Scores,
    { states, gridSteps }: { readonly states: NumberedBuffer | "unused"; readonly gridSteps: number },
  ): void {
    const { recorder, stepBuffer } = this.#context;
    const [values, pooled] = [WebGpuTensor.of(scores.values), WebGpuTensor.of(out.values)];
    const units = (gridSteps * GRID_STEP_TOKENS) / scores.unit;
    recorder.dispatch({
      category: "selection",
      kernel: recorder.kernel(["pool-scores"], { IS_MAX: states === "unused" }),
      params: {
        lengths: stepBuffer.layout.lengths + range.first,
        unit: scores.unit,
        run: scores.heads / out.heads,
        capacity: values.capacity,
        heads: out.heads,
        out_capacity: pooled.capacity,
      },
      bindings: { step: stepBuffer.storage, scores: values, states, pooled },
      grid: [Math.ceil(units / UNITS_A_GROUP), out.heads, range.count],
    });
  }

  unitsAbove(
    batch: BatchSizes,
    range: SequenceRange,
    { scores, threshold }: { readonly scores: Scores; readonly threshold: number },
    out: UnitSet,
  ): void {
    const { recorder, stepBuffer } = this.#context;
    for (let s = range.first; s < range.first + range.count; s++)
      checkUnits(Math.ceil(batch.lengths[s] / scores.unit), out);
    const [values, units] = [WebGpuTensor.of(scores.values), WebGpuTensor.of(out.units)];
    const node = nodeIn(this.#lists.above, range)
      .at(values.id)
      .at(units.id)
      .at(scores.heads)
      .at(scores.unit)
      .at(out.count)
      .at(threshold);
    if (recorder.replay(node)) return;
    recorder.keep(node, () =>
      recorder.dispatch({
        category: "selection",
        kernel: recorder.kernel(["units-above"], {}),
        params: {
          ...{ lengths: stepBuffer.layout.lengths + range.first, unit: scores.unit, heads: scores.heads },
          ...{ capacity: values.capacity, count: out.count, unit_capacity: units.capacity, threshold },
        },
        bindings: { step: stepBuffer.storage, scores: values, units },
        grid: [Math.ceil(out.count / UNITS_A_GROUP), scores.heads, range.count],
      }),
    );
  }

  mapHeads(
    range: SequenceRange,
    selection: TokenSelection,
    map: readonly number[],
    out: TokenSelection,
  ): void {
    const { recorder, model } = this.#context;
    const from = WebGpuTensor.of(selection.indices);
    const counts = WebGpuTensor.of(selection.counts);
    const to = WebGpuTensor.of(out.indices);
    const outCounts = WebGpuTensor.of(out.counts);
    const heads = this.#mapBuffer(selection, map, out);
    const node = nodeIn(this.#lists.map, range)
      .at(from.id)
      .at(counts.id)
      .at(heads.id)
      .at(to.id)
      .at(outCounts.id);
    if (recorder.replay(node)) return;
    recorder.keep(node, () =>
      recorder.dispatch({
        category: "selection",
        kernel: recorder.kernel(["map-heads"], {}),
        params: { heads: model.numKvHeads, capacity: from.capacity, out_capacity: to.capacity },
        bindings: { map: heads, indices: from, counts, out: to, out_counts: outCounts },
        grid: [Math.ceil(from.capacity / UNITS_A_GROUP), model.numKvHeads, range.count],
      }),
    );
  }

  /** The map on the device, checked and written once; dry runs write it, too. */
  #mapBuffer(selection: TokenSelection, map: readonly number[], out: TokenSelection): NumberedBuffer {
    const { model, buffers, device } = this.#context;
    const known = this.#maps.get(map);
    if (known && selection.headGroups === model.numKvHeads && out.headGroups === model.numKvHeads)
      return known;
    checkHeadMap(selection, map, out, model);
    const made = buffers.storage("head map", 4 * map.length);
    device.queue.writeBuffer(made.buffer, 0, Uint32Array.from(map));
    this.#maps.set(map, made);
    return made;
  }
}
