/**
 * What policies keep beside keys and values: data of each page (key bounds, sketches of keys, pools and keys of blocks) and of each row
 * of a step (queries and keys before RoPE). Shared by all policies that read them, and kept until the backend closes.
 */
import type { KeySketch, RawHeads } from "../backend/backend.ts";
import type { KeptMemory } from "../backend/backend-kind.ts";
import { sketchWords } from "../backend/sketch-words.ts";
import type { AttentionBackend } from "./attention-backend.ts";
import { globalLayers } from "./layer-windows.ts";
import type { AttentionModel, AttentionPolicy } from "./policy.ts";

/** The part of a policy that decides what it keeps. */
export type Keeper = Pick<AttentionPolicy, "keySketch" | "pageBounds" | "gates">;

/** Makes what policies keep, each once. */
export class KeptData {
  readonly #backend: AttentionBackend;
  readonly #model: AttentionModel;
  #sketches: readonly (KeySketch | undefined)[] | undefined;
  #raw: RawHeads | undefined;
  #hasBounds = false;

  constructor(backend: AttentionBackend, model: AttentionModel) {
    this.#backend = backend;
    this.#model = model;
  }

  /** Returns what is missing for a policy: its memory, and how to make it; undefined if all is there. */
  missingFor({ keySketch, pageBounds, gates }: Keeper): MissingData | undefined {
    const sketches = keySketch && !this.#sketches;
    const raw = gates && !this.#raw;
    const bounds = pageBounds !== undefined && !this.#hasBounds;
    if (!sketches && !raw && !bounds) return undefined;
    return {
      memory: keptTogether([
        ...(sketches ? [sketchMemory(this.#model)] : []),
        ...(raw ? [rawHeadsMemory(this.#model)] : []),
      ]),
      make: () => {
        // assigned when all is made: an allocation that fails leaves nothing
        const made = { sketches: sketches && this.#makeSketches(), raw: raw && this.#makeRaw() };
        if (bounds) this.#backend.addPageBounds();
        return () => {
          if (made.sketches) this.#sketches = made.sketches;
          if (made.raw) this.#raw = made.raw;
          this.#hasBounds ||= bounds;
        };
      },
    };
  }

  /** The sketches of a global layer. */
  sketch(layer: number): KeySketch {
    this.#sketches ??= this.#makeSketches();
    return this.#sketches[layer] as KeySketch;
  }

  /** Queries and keys before RoPE of a step. */
  rawHeads(): RawHeads {
    this.#raw ??= this.#makeRaw();
    return this.#raw;
  }

  #makeSketches(): readonly (KeySketch | undefined)[] {
    const sketches: (KeySketch | undefined)[] = [];
    const shape = sketchShape(this.#model);
    for (const layer of globalLayers(this.#model))
      sketches[layer] = { keys: this.#backend.createPageTensor("u32", shape) };
    return sketches;
  }

  #makeRaw(): RawHeads {
    const { numQueryHeads, numKvHeads, headDim } = this.#model;
    const rows = this.#backend.capacity.maxBatchRows;
    return {
      query: this.#backend.createTensor("f32", [rows, numQueryHeads * headDim]),
      keys: this.#backend.createTensor("f32", [rows, numKvHeads * headDim]),
    };
  }
}

/** Data that a policy lacks. */
export interface MissingData {
  readonly memory: KeptMemory;
  /** Creates tensors; the function that it returns puts them into use, once their memory is there. */
  readonly make: () => () => void;
}

/** Of a page in one layer. */
function sketchShape({ pageSize, numKvHeads, headDim }: AttentionModel): readonly number[] {
  return [pageSize, numKvHeads, sketchWords(headDim)];
}

function sketchMemory(model: AttentionModel): KeptMemory {
  const pageBytes = sketchShape(model).reduce((product, size) => product * size, 4);
  const layers = globalLayers(model).length;
  return {
    bytes: ({ maxPages }) => layers * maxPages * pageBytes,
    largestBytes: ({ maxPages }) => maxPages * pageBytes,
  };
}

function rawHeadsMemory({ numQueryHeads, numKvHeads, headDim }: AttentionModel): KeptMemory {
  return {
    bytes: ({ maxBatchRows }) => 4 * maxBatchRows * (numQueryHeads + numKvHeads) * headDim,
    largestBytes: ({ maxBatchRows }) => 4 * maxBatchRows * numQueryHeads * headDim,
  };
}

/** Sizes of a gate, which its file tells before its weights are read. */
export interface GateSizes {
  readonly gateDim: number;
  /** First layer with a gate. */
  readonly startLayer: number;
  readonly usesRope: boolean;
}

/** Memory of the weights of a gate and of their data of each page. */
export function gateMemory({ gateDim, startLayer, usesRope }: GateSizes, model: AttentionModel): KeptMemory {
  const { numQueryHeads, numKvHeads, headDim } = model;
  const layers = globalLayers(model).filter((layer) => layer >= startLayer).length;
  const largestWeights = 4 * Math.max(numQueryHeads, 3 * numKvHeads) * headDim * gateDim;
  const weights = 4 * ((numQueryHeads + 3 * numKvHeads) * headDim + 2) * gateDim;
  const pools = 4 * numKvHeads * 3 * headDim;
  const keys = 4 * numKvHeads * gateDim;
  const rope = usesRope ? 4 * gateDim : 0;
  return {
    bytes: ({ maxPages, maxSequenceLength }) =>
      layers * (weights + maxPages * (pools + keys)) + maxSequenceLength * rope,
    largestBytes: ({ maxPages, maxSequenceLength }) =>
      Math.max(largestWeights, maxPages * Math.max(pools, keys), maxSequenceLength * rope),
  };
}

/** Memory of all that a policy keeps. gate: sizes of its gate, if it has one */
export function memoryOf(
  { keySketch }: Pick<AttentionPolicy, "keySketch">,
  model: AttentionModel,
  gate?: GateSizes,
): KeptMemory {
  return keptTogether([
    ...(keySketch ? [sketchMemory(model)] : []),
    ...(gate ? [rawHeadsMemory(model), gateMemory(gate, model)] : []),
  ]);
}

export function keptTogether(parts: readonly KeptMemory[]): KeptMemory {
  return {
    bytes: (capacity) => parts.reduce((sum, part) => sum + part.bytes(capacity), 0),
    largestBytes: (capacity) => Math.max(0, ...parts.map((part) => part.largestBytes(capacity))),
  };
}
