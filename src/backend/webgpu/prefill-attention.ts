import type { TensorRef } from "../../base/tensor-ref.ts";
import type { ProfileCategory } from "./command-lists.ts";
import { cachePrelude, type GpuContext, paddedHeadDim, stepConstants } from "./context.ts";
import type { KvCache } from "./kv-cache.ts";
import { WebGpuTensor } from "./refs.ts";
import { fitAttention, matrixConstants } from "./subgroup-matrices.ts";
import { headsOfWorkgroup } from "./tuning.ts";

/** Rows of a prefill chunk that attend in tiles. */
export interface TileRows {
  readonly firstRow: number;
  readonly numRows: number;
  readonly sequence: number;
}

/** Tensors of a prefill chunk's attention. */
export interface TileTensors {
  readonly query: TensorRef;
  readonly output: TensorRef;
  readonly category: ProfileCategory;
  /** Tokens that a row attends to, up to its own; 0: all. */
  readonly window: number;
}

/** Attention of many rows of one sequence: by tiles, with subgroup matrices if the device has them. */
export class PrefillAttention {
  readonly #context: GpuContext;
  readonly #cache: KvCache;

  constructor(context: GpuContext, cache: KvCache) {
    this.#context = context;
    this.#cache = cache;
  }

  /** Attention of the rows of a prefill chunk over everything cached of their sequence. */
  attend(
    layer: number,
    { firstRow, numRows: rows, sequence }: TileRows,
    { query, output, category, window }: TileTensors,
  ): void {
    const { recorder, model, stepBuffer, cacheDtype, traits, tuning } = this.#context;
    const { keys, values } = this.#cache.layer(layer);
    const prelude = cachePrelude(this.#context);
    const inputs = {
      params: { first_row: firstRow, rows, sequence, window },
      bindings: {
        ...{ step: stepBuffer.storage, query: WebGpuTensor.of(query), keys, values },
        out: WebGpuTensor.of(output),
      },
    };
    const constants = {
      ...stepConstants(this.#context),
      ...prelude.constants,
      QUERY_HEADS: model.numQueryHeads,
      HEAD_DIM: model.headDim,
      SCALE: model.attentionScale,
      WINDOWED: window > 0,
    };
    const shape = cacheDtype === "f32" ? undefined : traits.subgroupMatrix;
    const heads = headsOfWorkgroup(model);
    const rowBlocks = Math.max(1, Math.floor(tuning.matrixSubgroups / heads));
    const wanted = { heads, rowBlocks, keys: model.headDim > 128 ? 16 : tuning.matrixKeys };
    const tile = shape && fitAttention(wanted, model.headDim, shape, traits);
    if (shape && tile) {
      const files = [...prelude.files, "subgroup-matrix", "attend-subgroup-matrix"] as const;
      const kernel = recorder.kernel(files, {
        ...constants,
        ...matrixConstants(shape, traits),
        HEADS: tile.heads,
        ROW_BLOCKS: tile.rowBlocks,
        BLOCK: tile.keys,
      });
      const grid = [Math.ceil(rows / (shape.m * tile.rowBlocks)), model.numQueryHeads / tile.heads] as const;
      recorder.dispatch({ category, kernel, ...inputs, grid });
      return;
    }
    const padding = paddedHeadDim(model, cacheDtype);
    const kernel = recorder.kernel([...prelude.files, "attend-tiles"], {
      ...constants,
      // 4 KiB of values at once, within the 16 KiB of every device
      VALUE_KEYS: padding > 256 ? 2 : padding > 128 ? 4 : 8,
    });
    const grid = [Math.ceil(rows / 32), model.numQueryHeads] as const;
    recorder.dispatch({ category, kernel, ...inputs, grid });
  }
}
