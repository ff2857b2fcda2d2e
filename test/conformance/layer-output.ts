/** Weights of a layer after its attention, of every kind of feed-forward, and what they compute by brute force. */
import type { FeedForwardWeights, ModelShape } from "../../src/backend/backend.ts";
import type { WeightFormat } from "../../src/base/weight-format.ts";
import { matrixSpec, vectorSpec } from "../weight-specs.ts";
import { chooseExperts, geluTanh, matvec, type PlainWeight, rmsNorm, silu } from "./brute-force.ts";
import { makeWeight, type PairedWeight } from "./random-weights.ts";
import type { Trial } from "./trial.ts";

export type Layer = ReturnType<typeof makeLayer>;

/** Weights of both kinds of feed-forward; `refsOf` takes those that the model has. */
export function makeLayer({ backend, random }: Trial, format: WeightFormat, outputNorm: boolean) {
  const { hiddenSize: hidden, intermediateSize, numQueryHeads, headDim, experts } = backend.model;
  const inner = experts?.intermediateSize ?? intermediateSize;
  const vector = (name: string) => makeWeight(backend, vectorSpec(name, "f32", hidden), random);
  const matrix = (name: string, rows: number, cols: number): PairedWeight => {
    const spec = matrixSpec(name, format, [rows, cols]);
    return makeWeight(
      backend,
      experts && spec.kind === "matrix" ? { ...spec, experts: experts.numExperts } : spec,
      random,
    );
  };
  const norms = outputNorm
    ? { attention: vector("attention output norm"), feedForward: vector("output norm") }
    : undefined;
  return {
    o: makeWeight(backend, matrixSpec("o", format, [hidden, numQueryHeads * headDim]), random),
    norm: vector("norm"),
    router: makeWeight(backend, matrixSpec("router", "f32", [experts?.numExperts ?? 1, hidden]), random),
    gate: matrix("gate", inner, hidden),
    up: matrix("up", inner, hidden),
    down: matrix("down", hidden, inner),
    norms,
    experts: experts !== undefined,
  };
}

export function refsOf({ o, norm, router, gate, up, down, norms, experts }: Layer) {
  const common = { norm: norm.ref, gate: gate.ref, up: up.ref, down: down.ref };
  const feedForward: FeedForwardWeights = experts
    ? { kind: "experts", router: router.ref, ...common }
    : { kind: "dense", ...common, ...(norms && { outputNorm: norms.feedForward.ref }) };
  return { output: { o: o.ref, ...(norms && { outputNorm: norms.attention.ref }) }, feedForward };
}

/** A row of x after the layer. */
export function advanced(
  model: ModelShape,
  layer: Layer,
  before: Float64Array,
  attended: Float64Array,
): Float64Array {
  const { rmsNormEps, experts } = model;
  const through = (result: Float64Array, norm: PairedWeight | undefined) =>
    norm ? rmsNorm(result, norm.plain.values, rmsNormEps) : result;
  const added = through(matvec(layer.o.plain, attended), layer.norms?.attention);
  const x = before.map((value, i) => value + added[i]);
  const normed = rmsNorm(x, layer.norm.plain.values, rmsNormEps);
  const { gate, up, down } = layer;
  if (!experts) {
    const result = through(
      gated(model, [gate.plain, up.plain, down.plain], normed),
      layer.norms?.feedForward,
    );
    return x.map((value, i) => value + result[i]);
  }
  const chosen = chooseExperts(matvec(layer.router.plain, normed), experts.topExperts, experts.isNormalised);
  for (const [expert, weight] of chosen) {
    const own = [gate, up, down].map(({ plain }) => expertOf(plain, expert, experts.numExperts));
    gated(model, own, normed).forEach((value, i) => {
      x[i] += weight * value;
    });
  }
  return x;
}

function gated(
  { activation }: ModelShape,
  [gate, up, down]: readonly PlainWeight[],
  x: Float64Array,
): Float64Array {
  const act = activation === "silu" ? silu : geluTanh;
  const lifted = matvec(up, x);
  return matvec(
    down,
    matvec(gate, x).map((value, i) => act(value) * lifted[i]),
  );
}

function expertOf({ rows, cols, values }: PlainWeight, expert: number, numExperts: number): PlainWeight {
  const own = rows / numExperts;
  return { rows: own, cols, values: values.slice(expert * own * cols, (expert + 1) * own * cols) };
}
