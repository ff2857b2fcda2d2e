import type { TensorRef } from "../../base/tensor-ref.ts";
import type { KeySketch, Scores, SequenceRange } from "../backend.ts";
import { sketchWords } from "../sketch-words.ts";
import type { CommandLists } from "./command-lists.ts";
import { type BatchSizes, cachePrelude, type GpuContext, stepConstants } from "./context.ts";
import type { KvCache } from "./kv-cache.ts";
import { WebGpuTensor } from "./refs.ts";
import { GRID_STEP_TOKENS, gridStepsOf, nodeIn } from "./selection-ops.ts";

/** Invocations of a workgroup of key-sketch.wgsl, and of sketch-scores.wgsl. */
const THREADS = { update: 64, scores: 128 };

/** The ops on sketches of keys. */
export class KeySketchOps {
  readonly #context: GpuContext;
  readonly #cache: KvCache;
  readonly #lists: Readonly<Record<"update" | "scores", CommandLists>>;

  constructor(context: GpuContext, cache: KvCache) {
    this.#context = context;
    this.#cache = cache;
    this.#lists = { update: context.recorder.newCommandLists(), scores: context.recorder.newCommandLists() };
  }

  updateKeySketch(batch: BatchSizes, layer: number, range: SequenceRange, { keys }: KeySketch): void {
    const { recorder, stepBuffer, model } = this.#context;
    const sketch = WebGpuTensor.of(keys);
    const prelude = cachePrelude(this.#context);
    let rows = 0;
    for (let s = range.first; s < range.first + range.count; s++)
      rows = Math.max(rows, batch.lengths[s] - batch.validBounds[s]);
    const groups = Math.ceil((rows * model.numKvHeads) / THREADS.update);
    const node = nodeIn(this.#lists.update, range).at(groups).at(sketch.id).at(layer);
    if (recorder.replay(node)) return;
    recorder.keep(node, () =>
      recorder.dispatch({
        category: "selection",
        kernel: recorder.kernel([...prelude.files, "key-sketch"], {
          ...stepConstants(this.#context),
          ...prelude.constants,
          HEAD_DIM: model.headDim,
          WORDS: sketchWords(model.headDim),
        }),
        params: { first_sequence: range.first },
        bindings: { step: stepBuffer.storage, keys: this.#cache.layer(layer).keys, sketch },
        grid: [groups, range.count],
      }),
    );
  }

  sketchScores(batch: BatchSizes, range: SequenceRange, query: TensorRef, to: SketchedScores): void {
    const { recorder, stepBuffer, model } = this.#context;
    const values = WebGpuTensor.of(to.out.values);
    const from = WebGpuTensor.of(query);
    const sketch = WebGpuTensor.of(to.sketch.keys);
    const gridSteps = gridStepsOf(batch, range);
    const node = nodeIn(this.#lists.scores, range).at(from.id).at(values.id).at(sketch.id).at(gridSteps);
    if (recorder.replay(node)) return;
    recorder.keep(node, () =>
      recorder.dispatch({
        category: "selection",
        kernel: recorder.kernel(["step", "sketch-scores"], {
          ...stepConstants(this.#context),
          HEAD_DIM: model.headDim,
          WORDS: sketchWords(model.headDim),
          GROUP: model.numQueryHeads / model.numKvHeads,
          SCALE: model.attentionScale,
        }),
        params: { first_sequence: range.first, capacity: values.capacity },
        bindings: { step: stepBuffer.storage, query: from, sketch, scores: values },
        grid: [(gridSteps * GRID_STEP_TOKENS) / THREADS.scores, model.numKvHeads, range.count],
      }),
    );
  }
}

interface SketchedScores {
  readonly sketch: KeySketch;
  readonly out: Scores;
}
