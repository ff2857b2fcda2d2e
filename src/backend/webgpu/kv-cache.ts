import type { TensorRef, WeightRef } from "../../base/tensor-ref.ts";
import type { AttentionInputWeights } from "../backend.ts";
import { cacheRowVectors, type GpuContext, stepConstants } from "./context.ts";
import { reducePrelude, subgroupConstants } from "./device-traits.ts";
import { fillRandom } from "./fill-random.ts";
import { DTYPE_CODES, type NumberedBuffer, WebGpuTensor, WebGpuWeight } from "./refs.ts";

export interface LayerCache {
  readonly keys: NumberedBuffer;
  readonly values: NumberedBuffer;
}

/** Keys and values of all layers, in pages. */
export class KvCache {
  readonly layers: readonly LayerCache[];
  readonly #context: GpuContext;

  constructor(context: GpuContext) {
    const { model, capacity, buffers, cacheDtype } = context;
    this.#context = context;
    const bytes =
      capacity.maxPages * capacity.pageSize * model.numKvHeads * cacheRowVectors(model, cacheDtype) * 16;
    this.layers = Array.from({ length: model.numLayers }, (_, layer) => ({
      keys: buffers.storage(`keys of layer ${layer}`, bytes),
      values: buffers.storage(`values of layer ${layer}`, bytes),
    }));
  }

  get sizeBytes(): number {
    return this.layers.reduce((sum, { keys, values }) => sum + keys.buffer.size + values.buffer.size, 0);
  }

  layer(index: number): LayerCache {
    return this.layers[index] as LayerCache;
  }

  /** Norm, RoPE and store of projected rows [rows, (query + 2 kv heads) * headDim]. */
  finishHeads(
    layer: number,
    weights: AttentionInputWeights,
    projected: NumberedBuffer,
    query: TensorRef,
    numRows: number,
  ): void {
    const { recorder, model, cacheDtype, traits, step, weights: store } = this.#context;
    // a subgroup for each head, where it has a size
    const { maxSubgroupSize } = traits;
    const lanes = traits.isSoftware ? 64 : Math.max(32, maxSubgroupSize);
    // many rows fill a device with wide workgroups, one needs all it can get
    const threads = numRows >= 16 ? Math.max(lanes, 256) : Math.max(lanes, 64);
    const kernel = recorder.kernel(["storage", "step", reducePrelude(traits, lanes), "finish-heads"], {
      ...stepConstants(this.#context),
      DTYPE: DTYPE_CODES[cacheDtype],
      ...subgroupConstants(traits),
      THREADS: threads,
      LANES: lanes,
      HEAD_DIM: model.headDim,
      QUERY_HEADS: model.numQueryHeads,
      EPS: model.rmsNormEps,
    });
    const norm = (ref: WeightRef | undefined) => (ref ? WebGpuWeight.of(ref).vector + 1 : 0);
    const cache = this.layer(layer);
    recorder.dispatch({
      category: "rest",
      kernel,
      params: { q_norm: norm(weights.qNorm), k_norm: norm(weights.kNorm) },
      bindings: {
        ...{ step: step.storage, vectors: store.vectors, projected },
        ...{ query: WebGpuTensor.of(query), keys: cache.keys, values: cache.values },
      },
      grid: [Math.ceil((model.numQueryHeads + 2 * model.numKvHeads) / (threads / lanes)), numRows],
    });
  }

  fillRandom(seed: number): void {
    const { recorder, cacheDtype } = this.#context;
    this.layers.forEach(({ keys, values }, layer) => {
      fillRandom(recorder, keys, cacheDtype, seed + 2 * layer, -1);
      fillRandom(recorder, values, cacheDtype, seed + 2 * layer + 1, -1);
    });
  }
}
