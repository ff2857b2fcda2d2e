import type { TensorDtype } from "../../base/dtype.ts";
import { BackendError, OutOfMemoryError } from "../../base/errors.ts";
import type { TensorRef, WeightRef } from "../../base/tensor-ref.ts";
import type { AttentionInputWeights, RawHeads } from "../backend.ts";
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
import type { LeftSums } from "./slice-sums.ts";

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

/** A buffer with data of each page. */
interface Part {
  readonly label: string;
  readonly pageBytes: number;
}

/** Buffers that are replaced together: those of a layer, or of a page tensor. */
interface Piece {
  readonly parts: readonly Part[];
  /** One of each part. */
  readonly buffers: readonly NumberedBuffer[];
  use(buffers: readonly NumberedBuffer[]): void;
}

/** A tensor whose first dimension follows the pool. */
interface PageTensor extends Part {
  readonly tensor: WebGpuTensor;
}

/** How the buffers of a piece are replaced. */
interface PieceResize {
  /** Maximum pages whose contents are copied. */
  readonly numKept: number;
  readonly numPages: number;
  /** Bytes that must be free beside the new buffers. */
  readonly headroom: number;
}

/** The buffers of `#partsOf`. */
function layerOf([keys, values, bounds]: readonly NumberedBuffer[]): LayerCache {
  return { keys: keys as NumberedBuffer, values: values as NumberedBuffer, bounds };
}

function bufferAt(buffers: readonly NumberedBuffer[], index: number): GPUBuffer {
  return (buffers[index] as NumberedBuffer).buffer;
}

/** Keys and values of all layers, in pages. */
export class KvCache {
  readonly layers: LayerCache[];
  readonly #context: GpuContext;
  readonly #watch: DeviceWatch;
  readonly #pageTensors: PageTensor[] = [];
  /** Bytes of other tensors that `allocate` made. */
  #allocatedBytes = 0;
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

  /** Pages of the pool. */
  get numPages(): number {
    return this.#numPages;
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
    return layerOf(this.#make(this.#partsOf(layer, hasBounds), numPages));
  }

  #partsOf(layer: number, hasBounds: boolean): readonly Part[] {
    const { keys, values } = this.#pageBytes;
    const parts = [
      { label: `keys of layer ${layer}`, pageBytes: keys },
      { label: `values of layer ${layer}`, pageBytes: values },
    ];
    return hasBounds ? [...parts, this.#boundsPart(layer)] : parts;
  }

  #boundsPart(layer: number): Part {
    return { label: `key bounds of layer ${layer}`, pageBytes: this.#boundsBytes(1) };
  }

  #make(parts: readonly Part[], numPages: number): NumberedBuffer[] {
    return parts.map(({ label, pageBytes }) => this.#context.buffers.storage(label, numPages * pageBytes));
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
    const [bounds] = this.#make([this.#boundsPart(layer)], this.#numPages) as [NumberedBuffer];
    this.layers[layer] = { ...cache, bounds };
    return bounds;
  }

  /** Makes a tensor of [maxPages, ...shape]; its buffer holds the pages of the pool. */
  createPageTensor(dtype: TensorDtype, shape: readonly number[]): WebGpuTensor {
    const pageBytes = shape.reduce((product, size) => product * size, 4);
    const part = { label: `data of pages [${shape}]`, pageBytes };
    const [storage] = this.#make([part], this.#numPages) as [NumberedBuffer];
    const tensor = new WebGpuTensor(dtype, [this.#context.capacity.maxPages, ...shape], storage);
    tensor.moveTo(storage, (this.#numPages * pageBytes) / 4);
    this.#pageTensors.push({ tensor, ...part });
    return tensor;
  }

  /** `Backend.allocate`. */
  async allocate<T>(what: string, make: () => T): Promise<T> {
    const { buffers } = this.#context;
    const numPageTensors = this.#pageTensors.length;
    const layers = [...this.layers];
    const made: NumberedBuffer[] = [];
    try {
      const result = await this.#watch.allocate(
        () => {
          const tensors = buffers.record(made, make);
          // a growth has left room for key bounds
          const isCounted = made.every(({ id }) => this.layers.some(({ bounds }) => bounds?.id === id));
          if (!isCounted) this.#proveFree(this.#headroom(this.#numPages, made));
          return tensors;
        },
        () => what,
      );
      for (const { buffer } of this.#besidePages(made)) this.#allocatedBytes += buffer.size;
      await this.#awaitFreed(0);
      return result;
    } catch (error) {
      if (this.#watch.hasFailed || !(error instanceof BackendError)) throw error;
      this.#pageTensors.length = numPageTensors;
      this.layers.splice(0, layers.length, ...layers);
      for (const buffer of made) this.#destroy(buffer);
      await this.#awaitFreed(0);
      if (error instanceof OutOfMemoryError) throw error;
      throw new OutOfMemoryError(`backend webgpu: there is no memory for ${what}: ${error.message}`, {
        cause: error,
      });
    }
  }

  /** Those of the buffers that belong to no page. */
  #besidePages(made: readonly NumberedBuffer[]): readonly NumberedBuffer[] {
    const paged = new Set(this.#pageTensors.map(({ tensor }) => tensor.id));
    for (const { bounds } of this.layers) if (bounds) paged.add(bounds.id);
    return made.filter(({ id }) => !paged.has(id));
  }

  /** Makes the key bounds of all layers that lack them. */
  addBounds(): void {
    for (let layer = 0; layer < this.layers.length; layer++) this.boundsOf(layer);
  }

  /**
   * Moves the cache and the page tensors into buffers of `numPages` pages, piece by piece, so that no more than one piece is held
   * twice. Returns false if the device binds no page tensor of that size, lacks the memory, or would lack it for the buffers that steps
   * may still need. The pieces that were moved go back then, and nothing has changed.
   */
  async resize(numPages: number): Promise<boolean> {
    const before = this.#numPages;
    const { bindingBytes } = this.#context.traits;
    const isTooLarge = this.#pageTensors.some(({ pageBytes }) => numPages * pageBytes > bindingBytes);
    if (isTooLarge && numPages > before) return false;
    const headroom = numPages > before ? this.#headroom(numPages) : 0;
    const last = this.layers.length + this.#pageTensors.length - 1;
    for (let index = 0; index <= last; index++) {
      const isProven = index === last || (index === 0 && this.#isShort);
      const how = { numKept: before, numPages, headroom: isProven ? headroom : 0 };
      if (await this.#resizePiece(this.#piece(index, numPages), how)) continue;
      // A piece for which that fails, too, keeps buffers that are larger than it needs.
      const back = { numKept: Math.min(before, numPages), numPages: before, headroom: 0 };
      for (let moved = 0; moved < index; moved++) await this.#resizePiece(this.#piece(moved, before), back);
      this.#isShort = true;
      return false;
    }
    this.#isShort = false;
    this.#numPages = numPages;
    return true;
  }

  /** The layers, then the page tensors. numPages: of the buffers that it will use */
  #piece(index: number, numPages: number): Piece {
    const page = this.#pageTensors[index - this.layers.length];
    if (page)
      return {
        parts: [page],
        buffers: [page.tensor],
        use: ([made]) => made && page.tensor.moveTo(made, (numPages * page.pageBytes) / 4),
      };
    const { keys, values, bounds } = this.layer(index);
    return {
      parts: this.#partsOf(index, bounds !== undefined),
      buffers: bounds ? [keys, values, bounds] : [keys, values],
      use: (made) => {
        this.layers[index] = layerOf(made);
      },
    };
  }

  /** Bytes that steps may still allocate beside a cache of `numPages` pages. beside: buffers that are none of a step */
  #headroom(numPages: number, beside: readonly NumberedBuffer[] = []): number {
    const { model, capacity, buffers, weights } = this.#context;
    let made = buffers.sizeBytes - weights.sizeBytes - this.#allocatedBytes;
    for (const { tensor } of this.#pageTensors) made -= tensor.buffer.size;
    for (const { buffer } of this.#besidePages(beside)) made -= buffer.size;
    let missingBounds = 0;
    for (const { keys, values, bounds } of this.layers) {
      made -= keys.buffer.size + values.buffer.size + (bounds?.buffer.size ?? 0);
      if (!bounds) missingBounds += this.#boundsBytes(numPages);
    }
    return Math.max(0, decoderBytes(model, capacity) - made) + missingBounds + SPARE_BYTES;
  }

  async #resizePiece(
    { parts, buffers: old, use }: Piece,
    { numKept, numPages, headroom }: PieceResize,
  ): Promise<boolean> {
    const { recorder } = this.#context;
    const { made, outOfMemory } = await this.#watch.tryAllocate(
      () => {
        const resized = this.#make(parts, numPages);
        this.#proveFree(headroom);
        return resized;
      },
      () => `the KV cache of ${numPages * this.#context.capacity.pageSize} tokens`,
    );
    const kept = Math.min(numKept, numPages);
    if (!outOfMemory) {
      for (let i = 0; i < parts.length && kept > 0; i++)
        recorder.copy(bufferAt(old, i), 0, bufferAt(made, i), 0, kept * (parts[i] as Part).pageBytes);
      recorder.submit();
    }
    const gone = (outOfMemory ? made : old).map(({ id, buffer }) => ({ id, buffer }));
    if (!outOfMemory) use(made);
    for (const buffer of gone) this.#destroy(buffer);
    await this.#awaitFreed(MAX_UNFREED_BYTES);
    return outOfMemory === undefined;
  }

  #destroy(buffer: NumberedBuffer): void {
    this.#unfreedBytes += buffer.buffer.size;
    this.#context.buffers.destroy(buffer);
  }

  /** Waits for the memory of destroyed buffers if it is more than so many bytes. */
  async #awaitFreed(most: number): Promise<void> {
    if (this.#unfreedBytes <= most) return;
    const { device, recorder } = this.#context;
    // Dawn frees a destroyed buffer once a submission that came after it is done.
    device.queue.submit([]);
    await recorder.finish("the KV cache to be moved");
    this.#unfreedBytes = 0;
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

  layer(index: number): LayerCache {
    return this.layers[index] as LayerCache;
  }

  /** Norm, RoPE and store of projected rows [rows, (query + 2 kv heads) * headDim]. raw: also receives what RoPE changes. */
  finishHeads(
    layer: number,
    weights: AttentionInputWeights,
    projected: NumberedBuffer | LeftSums,
    {
      query,
      raw,
      numRows,
    }: { readonly query: TensorRef; readonly raw?: RawHeads | undefined; readonly numRows: number },
  ): void {
    const { recorder, model, traits, stepBuffer, weights: store } = this.#context;
    const prelude = cachePrelude(this.#context);
    // a subgroup for each head, if it has a size
    const { maxSubgroupSize } = traits;
    const lanes = traits.isSoftware ? 64 : Math.max(32, maxSubgroupSize);
    // many rows fill a device with wide workgroups, one needs all it can get
    const threads = numRows > 8 ? Math.max(lanes, 256) : Math.max(lanes, 64);
    const left = "slices" in projected ? projected : undefined;
    const storage = "slices" in projected ? projected.storage : projected;
    const rawFile = raw ? "raw-heads" : "raw-none";
    const files = [
      ...prelude.files,
      ...([reducePrelude(traits, lanes), "int8-rows", rawFile, "finish-heads"] as const),
    ];
    const kernel = recorder.kernel(files, {
      ...stepConstants(this.#context, model.layers[layer]),
      ...prelude.constants,
      ...subgroupConstants(traits),
      THREADS: threads,
      LANES: lanes,
      HEAD_DIM: model.headDim,
      QUERY_HEADS: model.numQueryHeads,
      EPS: model.rmsNormEps,
      SLICES: left?.slices ?? 1,
    });
    const norm = (ref: WeightRef | undefined) => (ref ? WebGpuWeight.of(ref).vector + 1 : 0);
    const cache = this.layer(layer);
    recorder.dispatch({
      category: "rest",
      kernel,
      params: {
        ...{ q_norm: norm(weights.qNorm), k_norm: norm(weights.kNorm) },
        slice_stride: left?.sliceStride ?? 0,
      },
      bindings: {
        ...{ step: stepBuffer.storage, vectors: store.vectors, projected: storage },
        ...{ query: WebGpuTensor.of(query), keys: cache.keys, values: cache.values },
        ...(raw && { raw_query: WebGpuTensor.of(raw.query), raw_keys: WebGpuTensor.of(raw.keys) }),
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
