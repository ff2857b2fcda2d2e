import type { TensorRef, WeightRef } from "../../base/tensor-ref.ts";
import type { AttentionInputWeights } from "../backend.ts";
import { decoderBytes } from "../decoder-memory.ts";
import { USAGE } from "./buffers.ts";
import {
  cachePrelude,
  type GpuContext,
  keyRowBytes,
  paddedHeadDim,
  stepConstants,
  valueRowBytes,
} from "./context.ts";
import { reducePrelude, subgroupConstants } from "./device-traits.ts";
import type { DeviceWatch } from "./device-watch.ts";
import { fillRandom, fillRandomInt8 } from "./fill-random.ts";
import { type NumberedBuffer, WebGpuTensor, WebGpuWeight } from "./refs.ts";

export interface LayerCache {
  readonly keys: NumberedBuffer;
  readonly values: NumberedBuffer;
  /** vec2f [pages, kv heads, padded headDim]: smallest and largest key channel; made when first asked for. */
  readonly bounds: NumberedBuffer | undefined;
}

/** Bytes of destroyed buffers from which a resize waits for the device: until it has copied them, their memory is in use. */
const MAX_UNFREED_BYTES = 64 << 20;
/**
 * Bytes that a growth leaves free beside the tensors of the decoder and the policies, for split-KV partials (64 MiB, and as
 * much again while larger ones replace them), uniform blocks and staging buffers. Nobody survives a refusal of those.
 */
const SPARE_BYTES = 128 << 20;
/** Maximum bytes of one buffer that proves free memory; every device allows as many. */
const MAX_PROOF_BYTES = 256 << 20;

/** How the buffers of a layer are replaced. */
interface LayerResize {
  /** Maximum pages whose contents are copied. */
  readonly numKept: number;
  readonly numPages: number;
  /** Bytes that must be free beside the new buffers. */
  readonly headroom: number;
}

/** Keys and values of all layers, in pages. */
export class KvCache {
  readonly layers: LayerCache[];
  readonly #context: GpuContext;
  readonly #watch: DeviceWatch;
  #numPages = 0;
  #unfreedBytes = 0;
  /** True after a refusal: the next growth asks for its headroom before it copies anything. */
  #isShort = false;

  constructor(context: GpuContext, watch: DeviceWatch) {
    this.#context = context;
    this.#watch = watch;
    this.layers = Array.from({ length: context.model.numLayers }, (_, layer) =>
      this.#makeLayer(layer, 0, false),
    );
  }

  /** Bytes of the keys and values of `numPages` pages. */
  bytesOf(numPages: number): number {
    const { keys, values } = this.#pageBytes;
    return numPages * (keys + values) * this.layers.length;
  }

  get sizeBytes(): number {
    return this.bytesOf(this.#numPages);
  }

  /** Bytes of the keys, and of the values, of a page in one layer. */
  get #pageBytes(): { readonly keys: number; readonly values: number } {
    const { model, capacity, cacheDtype } = this.#context;
    const rows = capacity.pageSize * model.numKvHeads;
    return { keys: rows * keyRowBytes(model, cacheDtype), values: rows * valueRowBytes(model, cacheDtype) };
  }

  #makeLayer(layer: number, numPages: number, hasBounds: boolean): LayerCache {
    const { buffers } = this.#context;
    const { keys, values } = this.#pageBytes;
    return {
      keys: buffers.storage(`keys of layer ${layer}`, numPages * keys),
      values: buffers.storage(`values of layer ${layer}`, numPages * values),
      bounds: hasBounds ? this.#makeBounds(layer, numPages) : undefined,
    };
  }

  #makeBounds(layer: number, numPages: number): NumberedBuffer {
    return this.#context.buffers.storage(`key bounds of layer ${layer}`, this.#boundsBytes(numPages));
  }

  /** Bytes of the key bounds of `numPages` pages in one layer. */
  #boundsBytes(numPages: number): number {
    const { model, cacheDtype } = this.#context;
    return numPages * model.numKvHeads * paddedHeadDim(model, cacheDtype) * 8;
  }

  /** The key bounds of a layer; creates them at the first call. */
  boundsOf(layer: number): NumberedBuffer {
    const cache = this.layer(layer);
    if (cache.bounds) return cache.bounds;
    const bounds = this.#makeBounds(layer, this.#numPages);
    this.layers[layer] = { ...cache, bounds };
    return bounds;
  }

  /**
   * Moves the cache into buffers of `numPages` pages, layer by layer, so that no more than one layer's is held twice.
   * Returns false if the device lacks the memory for it, or would lack it for the buffers that steps may still need. The
   * layers that were moved go back then, and nothing has changed.
   */
  async resize(numPages: number): Promise<boolean> {
    const before = this.#numPages;
    const headroom = numPages > before ? this.#headroom(numPages) : 0;
    const last = this.layers.length - 1;
    for (let layer = 0; layer <= last; layer++) {
      const isProven = layer === last || (layer === 0 && this.#isShort);
      const how = { numKept: before, numPages, headroom: isProven ? headroom : 0 };
      if (await this.#resizeLayer(layer, how)) continue;
      // A layer for which that fails, too, keeps buffers that are larger than it needs.
      const back = { numKept: Math.min(before, numPages), numPages: before, headroom: 0 };
      for (let moved = 0; moved < layer; moved++) await this.#resizeLayer(moved, back);
      this.#isShort = true;
      return false;
    }
    this.#isShort = false;
    this.#numPages = numPages;
    return true;
  }

  /** Bytes that steps may still allocate beside a cache of `numPages` pages. */
  #headroom(numPages: number): number {
    const { model, capacity, buffers, weights } = this.#context;
    let made = buffers.sizeBytes - weights.sizeBytes;
    let missingBounds = 0;
    for (const { keys, values, bounds } of this.layers) {
      made -= keys.buffer.size + values.buffer.size + (bounds?.buffer.size ?? 0);
      if (!bounds) missingBounds += this.#boundsBytes(numPages);
    }
    return Math.max(0, decoderBytes(model, capacity) - made) + missingBounds + SPARE_BYTES;
  }

  /** numKept: pages to copy, up to the new size. */
  async #resizeLayer(layer: number, { numKept, numPages, headroom }: LayerResize): Promise<boolean> {
    const { device, buffers, recorder } = this.#context;
    const old = this.layer(layer);
    const { made, outOfMemory } = await this.#watch.tryAllocate(
      () => {
        const resized = this.#makeLayer(layer, numPages, old.bounds !== undefined);
        this.#proveFree(headroom);
        return resized;
      },
      () => `the KV cache of ${numPages * this.#context.capacity.pageSize} tokens`,
    );
    const kept = Math.min(numKept, numPages);
    const gone = outOfMemory ? made : old;
    if (!outOfMemory) {
      this.layers[layer] = made;
      if (kept > 0) this.#copy(old, made, kept, numPages);
      recorder.submit();
    }
    for (const buffer of [gone.keys, gone.values, gone.bounds]) {
      if (!buffer) continue;
      this.#unfreedBytes += buffer.buffer.size;
      buffers.destroy(buffer);
    }
    if (this.#unfreedBytes > MAX_UNFREED_BYTES) {
      // Dawn frees a destroyed buffer once a submission that came after it is done.
      device.queue.submit([]);
      await recorder.finish("the KV cache to be moved");
      this.#unfreedBytes = 0;
    }
    return outOfMemory === undefined;
  }

  /** Allocates and destroys so many bytes; the error scope of the caller learns whether the device has them. */
  #proveFree(bytes: number): void {
    const { buffers } = this.#context;
    this.#unfreedBytes += bytes;
    const proof: NumberedBuffer[] = [];
    for (let left = bytes; left > 0; left -= MAX_PROOF_BYTES)
      proof.push(buffers.create("headroom", Math.min(left, MAX_PROOF_BYTES), USAGE.storage));
    for (const buffer of proof) buffers.destroy(buffer);
  }

  #copy(from: LayerCache, to: LayerCache, pages: number, numPages: number): void {
    const { recorder } = this.#context;
    const { keys, values } = this.#pageBytes;
    recorder.copy(from.keys.buffer, 0, to.keys.buffer, 0, pages * keys);
    recorder.copy(from.values.buffer, 0, to.values.buffer, 0, pages * values);
    if (!from.bounds || !to.bounds) return;
    recorder.copy(from.bounds.buffer, 0, to.bounds.buffer, 0, (to.bounds.buffer.size / numPages) * pages);
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
    const { recorder, model, traits, stepBuffer, weights: store } = this.#context;
    const prelude = cachePrelude(this.#context);
    // a subgroup for each head, if it has a size
    const { maxSubgroupSize } = traits;
    const lanes = traits.isSoftware ? 64 : Math.max(32, maxSubgroupSize);
    // many rows fill a device with wide workgroups, one needs all it can get
    const threads = numRows > 8 ? Math.max(lanes, 256) : Math.max(lanes, 64);
    const files = [...prelude.files, reducePrelude(traits, lanes), "int8-rows", "finish-heads"] as const;
    const kernel = recorder.kernel(files, {
      ...stepConstants(this.#context, model.layers[layer]),
      ...prelude.constants,
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
        ...{ step: stepBuffer.storage, vectors: store.vectors, projected },
        ...{ query: WebGpuTensor.of(query), keys: cache.keys, values: cache.values },
      },
      grid: [Math.ceil((model.numQueryHeads + 2 * model.numKvHeads) / (threads / lanes)), numRows],
    });
  }

  fillRandom(seed: number): void {
    const { recorder, model, cacheDtype } = this.#context;
    const rowBytes = valueRowBytes(model, cacheDtype);
    const scaleBytes = keyRowBytes(model, cacheDtype) - rowBytes;
    this.layers.forEach(({ keys, values }, layer) => {
      const [keySeed, valueSeed] = [seed + 2 * layer, seed + 2 * layer + 1];
      if (cacheDtype === "q8") {
        fillRandomInt8(recorder, keys, keySeed, { rowBytes, scaleBytes });
        fillRandomInt8(recorder, values, valueSeed, { rowBytes, scaleBytes: 0 });
      } else {
        fillRandom(recorder, keys, cacheDtype, keySeed, -1);
        fillRandom(recorder, values, cacheDtype, valueSeed, -1);
      }
    });
  }
}
