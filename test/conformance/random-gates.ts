/** Random gates of blocks: on a backend, and by brute force. */
import type { BlockGates } from "../../src/attention/block-gates.ts";
import type { Backend, BlockGate } from "../../src/backend/backend.ts";
import type { TensorRef } from "../../src/base/tensor-ref.ts";
import { dot, rmsNorm, rotate } from "./brute-force.ts";
import { Random } from "./random-weights.ts";

export interface GateOptions {
  readonly blockSize: number;
  readonly gateDim: number;
  readonly hasNorms?: boolean;
  readonly hasRope?: boolean;
  readonly startLayer?: number;
}

/** Sizes of the model behind a gate. */
export interface GatedSizes {
  readonly numLayers: number;
  readonly numQueryHeads: number;
  readonly numKvHeads: number;
  readonly headDim: number;
}

const EPS = 1e-3;
const THETA = 500;

/** The weights of one layer, and what they do, in f64. */
export class PlainGate {
  readonly options: GateOptions;
  readonly model: GatedSizes;
  readonly q: Float32Array;
  readonly k: Float32Array;
  readonly qNorm: Float32Array | undefined;
  readonly kNorm: Float32Array | undefined;

  constructor(model: GatedSizes, options: GateOptions, random: Random) {
    const { numQueryHeads, numKvHeads, headDim } = model;
    const { gateDim, hasNorms = true } = options;
    const row = (size: number) => Float32Array.from(random.row(size));
    this.model = model;
    this.options = options;
    this.q = row(numQueryHeads * headDim * gateDim);
    this.k = row(numKvHeads * 3 * headDim * gateDim);
    this.qNorm = hasNorms ? row(gateDim) : undefined;
    this.kNorm = hasNorms ? row(gateDim) : undefined;
  }

  /** The gate query of a kv head: heads are the raw queries of its query heads. */
  query(kvHead: number, heads: readonly Float64Array[], position: number): Float64Array {
    const input = heads.flatMap((head) => [...head]);
    return this.#finish(this.#project(this.q, kvHead, input), this.qNorm, position);
  }

  /** The key of a whole block of one kv head, from its raw keys. */
  key(kvHead: number, keys: readonly Float64Array[], block: number): Float64Array {
    const { blockSize } = this.options;
    const channels = Array.from(keys[0], (_, c) => keys.map((key) => key[c]));
    const pooled = [
      ...channels.map((values) => Math.max(...values)),
      ...channels.map((values) => Math.min(...values)),
      ...channels.map((values) => values.reduce((a, b) => a + b) / values.length),
    ];
    return this.#finish(this.#project(this.k, kvHead, pooled), this.kNorm, block * blockSize);
  }

  /** Scores of all blocks of one kv head; 0 for the last if it is not whole. keys: the raw keys of all positions */
  scores(kvHead: number, query: readonly Float64Array[], keys: readonly Float64Array[]): number[] {
    const { blockSize, gateDim } = this.options;
    const gateQuery = this.query(kvHead, query, keys.length - 1);
    return Array.from({ length: Math.ceil(keys.length / blockSize) }, (_, block) => {
      const own = keys.slice(block * blockSize, (block + 1) * blockSize);
      if (own.length < blockSize) return 0;
      return dot(gateQuery, this.key(kvHead, own, block)) / Math.sqrt(gateDim);
    });
  }

  #project(weights: Float32Array, kvHead: number, input: readonly number[]): Float64Array {
    const { gateDim } = this.options;
    const start = kvHead * input.length * gateDim;
    return Float64Array.from({ length: gateDim }, (_, o) =>
      input.reduce((sum, x, i) => sum + x * weights[start + i * gateDim + o], 0),
    );
  }

  #finish(x: Float64Array, norm: Float32Array | undefined, position: number): Float64Array {
    const normed = norm ? rmsNorm(x, norm, EPS) : x;
    return this.options.hasRope === false ? normed : rotate(normed, gateRope(position, x.length));
  }
}

/** cos, then sin, as f32, which the backend gets. */
function gateRope(position: number, dim: number): Float32Array {
  const angles = Array.from({ length: dim / 2 }, (_, i) => position * THETA ** ((-2 * i) / dim));
  return Float32Array.from([...angles.map(Math.cos), ...angles.map(Math.sin)]);
}

/** The gates of all layers from `startLayer` on. */
export function plainGates(model: GatedSizes, options: GateOptions, seed: number): (PlainGate | undefined)[] {
  const random = new Random(seed);
  return Array.from({ length: model.numLayers }, (_, layer) =>
    layer >= (options.startLayer ?? 0) ? new PlainGate(model, options, random) : undefined,
  );
}

/** The same on a backend, in tensors that are poisoned where they must be written first. */
export function gatesOn(backend: Backend, plain: readonly (PlainGate | undefined)[]): BlockGates {
  const gate = plain.find((one) => one !== undefined);
  if (!gate) throw new Error("gates of no layer");
  const { blockSize, gateDim, hasRope = true, startLayer = 0 } = gate.options;
  const { maxSequenceLength } = backend.capacity;
  const tensor = (values: Float32Array, shape: readonly number[]): TensorRef => {
    const made = backend.createTensor("f32", shape);
    backend.write(made, values);
    return made;
  };
  const rows = Array.from({ length: maxSequenceLength }, (_, position) => [...gateRope(position, gateDim)]);
  const rope = hasRope && tensor(Float32Array.from(rows.flat()), [maxSequenceLength, gateDim]);
  const shared = { blockSize, gateDim, normEps: EPS, ...(rope && { rope }) };
  const layers = plain.map((one) => one && { ...shared, ...layerOn(backend, one, tensor) });
  return { ...shared, name: "a random gate", fingerprint: "a random gate", startLayer, layers };
}

function layerOn(
  { capacity: { maxPages } }: Backend,
  { model, options: { gateDim }, q, k, qNorm, kNorm }: PlainGate,
  tensor: (values: Float32Array, shape: readonly number[]) => TensorRef,
): Pick<BlockGate, "q" | "k" | "qNorm" | "kNorm" | "pools" | "blockKeys"> {
  const { numQueryHeads, numKvHeads, headDim } = model;
  const poisoned = (shape: readonly number[]) =>
    tensor(new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(1e9), shape);
  return {
    q: tensor(q, [numQueryHeads, headDim, gateDim]),
    k: tensor(k, [numKvHeads, 3 * headDim, gateDim]),
    ...(qNorm && { qNorm: tensor(qNorm, [gateDim]) }),
    ...(kNorm && { kNorm: tensor(kNorm, [gateDim]) }),
    pools: poisoned([maxPages, numKvHeads, 3, headDim]),
    blockKeys: poisoned([maxPages, numKvHeads, gateDim]),
  };
}
