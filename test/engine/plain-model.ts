/**
 * The tiny checkpoint's decoder by brute force, one token at a time under a policy's independent definition. It shares no code
 * with any backend, the decoder or the attention driver.
 */
import type { CacheDtype } from "../../src/base/cache-dtype.ts";
import { decodeWeights } from "../../src/base/weight-format.ts";
import { openCheckpoint } from "../../src/load/checkpoint.ts";
import { openFileFolder } from "../../src/node/file-folder.ts";
import {
  attention,
  headScores,
  matvec,
  type PlainWeight,
  rmsNorm,
  rotate,
  roundToHalf,
  silu,
  split,
} from "../conformance/brute-force.ts";
import type { Definition } from "../conformance/policy-definitions.ts";
import { TINY_MODEL } from "./tiny-engine.ts";

const [LAYERS, HEADS, HEAD_DIM, EPS, THETA] = [2, 4, 24, 1e-6, 10_000];
/** Heads that definitions have; the last ones repeat heads of the model, which changes no set. */
const DEFINED_HEADS = 6;

type Weights = (name: string) => PlainWeight;

/** Keys and values of one layer, by head and position. */
interface LayerCache {
  readonly keys: Float64Array[][];
  readonly values: Float64Array[][];
}

export async function loadPlainWeights(): Promise<Weights> {
  const checkpoint = await openCheckpoint(await openFileFolder(TINY_MODEL));
  const weights = new Map<string, PlainWeight>();
  for (const [name, { source, offset, sizeBytes, shape }] of checkpoint.tensors) {
    const values = new Float32Array(sizeBytes / 4);
    decodeWeights(await source.read(offset, sizeBytes), "f32", values);
    const [rows = 1, cols = 1] = shape;
    weights.set(name, { rows, cols, values: Float64Array.from(values) });
  }
  await checkpoint.close();
  return (name) => {
    const weight = weights.get(`model.${name}.weight`);
    if (!weight) throw new Error(`the tiny checkpoint has no ${name}`);
    return weight;
  };
}

/** What a layer of a decode step did. */
export interface PlainLayer {
  readonly position: number;
  readonly layer: number;
  /** By head; undefined if the layer neither selects nor attends to a selection. */
  readonly sets: readonly (readonly number[])[] | undefined;
  /** Scaled logits of all tokens, by head. */
  readonly logits: readonly (readonly number[])[];
  readonly output: readonly number[];
  readonly denseOutput: readonly number[];
}

/** Returns the natural logarithms of the probabilities of the tokens from `from` on: those before it attend densely. */
export function plainLogProbs(
  weights: Weights,
  { tokens, from }: { readonly tokens: readonly number[]; readonly from: number },
  { definition, budget }: { readonly definition: Definition; readonly budget: number },
  cacheDtype: CacheDtype = "f32",
  onLayer: (layer: PlainLayer) => void = () => {},
): number[] {
  const cache: LayerCache[] = Array.from({ length: LAYERS }, () => ({
    keys: Array.from({ length: HEADS }, () => []),
    values: Array.from({ length: HEADS }, () => []),
  }));
  const round = cacheDtype === "f16" ? (x: number) => roundToHalf(x) : Math.fround;
  const logProbs: number[] = [];
  for (const [position, token] of tokens.slice(0, -1).entries()) {
    const isSparse = position >= from && position + 1 > budget;
    const watch = position >= from ? onLayer : () => {};
    const now = { token, position, cache, round, onLayer: watch };
    const logits = step(weights, now, isSparse ? definition : () => "all");
    if (position + 1 < from) continue;
    const largest = logits.reduce((a, b) => Math.max(a, b));
    const mass = logits.reduce((sum, logit) => sum + Math.exp(logit - largest), 0);
    logProbs.push((logits[tokens[position + 1] ?? 0] ?? Number.NaN) - largest - Math.log(mass));
  }
  return logProbs;
}

interface Step {
  readonly token: number;
  readonly position: number;
  readonly cache: readonly LayerCache[];
  readonly round: (x: number) => number;
  readonly onLayer: (layer: PlainLayer) => void;
}

/** No definition of these tests reads heads before RoPE. */
const NO_RAW = { queries: [], keys: [] };

function step(weights: Weights, { token, position, cache, round, onLayer }: Step, definition: Definition) {
  const embedding = weights("embed_tokens");
  let x: Float64Array = embedding.values.slice(token * embedding.cols, (token + 1) * embedding.cols);
  const angles = Array.from({ length: HEAD_DIM / 2 }, (_, i) => position * THETA ** ((-2 * i) / HEAD_DIM));
  const rope = [...angles.map(Math.cos), ...angles.map(Math.sin)];
  let last: readonly (readonly number[])[] = [];
  for (const [layer, { keys, values }] of cache.entries()) {
    const of = (name: string) => weights(`layers.${layer}.${name}`);
    const normed = rmsNorm(x, of("input_layernorm").values, EPS);
    const heads = (name: string) => split(matvec(of(`self_attn.${name}_proj`), normed), HEAD_DIM);
    const queries = heads("q").map((head) => rotate(head, rope));
    for (const [h, key] of heads("k").entries()) keys[h]?.push(rotate(key, rope).map(round));
    for (const [h, value] of heads("v").entries()) values[h]?.push(value.map(round));
    const repeated = <T>(list: readonly T[]): T[] =>
      Array.from({ length: DEFINED_HEADS }, (_, h) => list[h % HEADS] as T);
    const length = position + 1;
    const found = definition({
      layer,
      length,
      queries: repeated(queries),
      keys: repeated(keys),
      raw: NO_RAW,
    });
    if (typeof found === "object" && "sets" in found) last = found.sets;
    else if (typeof found === "object") throw new Error("the tiny checkpoint shares no kv heads to map");
    const isDense = found === "all" || (typeof found === "object" && found.attends === "all");
    const all = Array.from({ length }, (_, t) => t);
    const attend = (setOf: (head: number) => readonly number[]) =>
      queries.flatMap((query, h) => {
        const chosen = (list: readonly Float64Array[] = []) => setOf(h).map((t) => list[t] as Float64Array);
        return [...attention(query, chosen(keys[h]), chosen(values[h]))];
      });
    const denseOutput = attend(() => all);
    const attended = isDense ? denseOutput : attend((h) => last[h] ?? []);
    const logitsOf = (query: Float64Array, h: number) => headScores(query, keys[h] ?? []);
    onLayer({
      ...{ position, layer, output: attended, denseOutput, logits: queries.map(logitsOf) },
      sets: found === "all" ? undefined : last.slice(0, HEADS),
    });
    x = add(x, matvec(of("self_attn.o_proj"), attended));
    const inner = rmsNorm(x, of("post_attention_layernorm").values, EPS);
    const up = matvec(of("mlp.up_proj"), inner);
    const gated = matvec(of("mlp.gate_proj"), inner).map((gate, i) => silu(gate) * (up[i] ?? 0));
    x = add(x, matvec(of("mlp.down_proj"), gated));
  }
  return matvec(embedding, rmsNorm(x, weights("norm").values, EPS));
}

function add(a: Float64Array, b: Float64Array): Float64Array {
  return a.map((value, i) => value + (b[i] ?? 0));
}
