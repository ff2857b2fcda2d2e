import type { Activation, FeedForwardWeights, ModelShape } from "../backend.ts";
import { type Matrix, matvec, rmsNorm } from "./linear.ts";
import { matrix, vector } from "./refs.ts";

/** The gate's function. gelu_tanh: arXiv 1606.08415, section 2, its tanh formula. */
export function activate(activation: Activation, x: number): number {
  if (activation === "silu") return x / (1 + Math.exp(-x));
  return 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));
}

/** x += the feed-forward of x, for one row of x at offset `at`. */
export function feedForwardRow(
  model: ModelShape,
  weights: FeedForwardWeights,
  x: Float32Array,
  at: number,
): void {
  const { hiddenSize, rmsNormEps } = model;
  const normed = new Float32Array(hiddenSize);
  rmsNorm(x, at, hiddenSize, vector(weights.norm), rmsNormEps, normed, 0);
  if (weights.kind === "experts") {
    for (const { expert, weight } of route(model, matrix(weights.router), normed)) {
      const { down, inner } = gated(model.activation, expertOf(weights, expert), normed);
      const part = new Float32Array(hiddenSize);
      matvec(down, inner, 0, part, 0);
      for (let i = 0; i < hiddenSize; i++) x[at + i] += weight * part[i];
    }
    return;
  }
  const matrices = { gate: matrix(weights.gate), up: matrix(weights.up), down: matrix(weights.down) };
  const { down, inner } = gated(model.activation, matrices, normed);
  if (!weights.outputNorm) {
    matvec(down, inner, 0, x, at, { accumulate: true });
    return;
  }
  const result = new Float32Array(hiddenSize);
  matvec(down, inner, 0, result, 0);
  addNormed(model, result, vector(weights.outputNorm), x, at);
}

/** x += norm(result). Overwrites `result`. */
export function addNormed(
  { hiddenSize, rmsNormEps }: ModelShape,
  result: Float32Array,
  norm: Float32Array,
  x: Float32Array,
  at: number,
): void {
  rmsNorm(result, 0, hiddenSize, norm, rmsNormEps, result, 0);
  for (let i = 0; i < hiddenSize; i++) x[at + i] += result[i];
}

interface GatedMatrices {
  readonly gate: Matrix;
  readonly up: Matrix;
  readonly down: Matrix;
}

/** act(gate x) * up x, and the matrix that takes it. */
function gated(activation: Activation, { gate, up, down }: GatedMatrices, x: Float32Array) {
  const inner = new Float32Array(gate.rows);
  const lifted = new Float32Array(gate.rows);
  matvec(gate, x, 0, inner, 0);
  matvec(up, x, 0, lifted, 0);
  for (let i = 0; i < gate.rows; i++) inner[i] = activate(activation, inner[i]) * lifted[i];
  return { down, inner };
}

/** The experts of a row, ascending, and their weights. NaN counts as less than every number. */
function route({ experts }: ModelShape, router: Matrix, x: Float32Array) {
  if (!experts) throw new TypeError("a feed-forward of experts in a model that has none");
  const logits = new Float32Array(router.rows);
  matvec(router, x, 0, logits, 0);
  const largest = logits.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  const masses = Float64Array.from(logits, (logit) => Math.exp(logit - largest));
  const total = masses.reduce((a, b) => a + b);
  const rank = (expert: number) => (Number.isNaN(logits[expert]) ? Number.NEGATIVE_INFINITY : logits[expert]);
  const chosen = Array.from(logits.keys())
    .sort((a, b) => (rank(a) === rank(b) ? a - b : rank(b) - rank(a)))
    .slice(0, experts.topExperts)
    .sort((a, b) => a - b);
  const kept = chosen.reduce((sum, expert) => sum + masses[expert], 0);
  return chosen.map((expert) => ({ expert, weight: masses[expert] / (experts.isNormalised ? kept : total) }));
}

function expertOf(weights: FeedForwardWeights & { kind: "experts" }, expert: number): GatedMatrices {
  const of = (ref: typeof weights.gate): Matrix => {
    const { values, cols, rows, numExperts } = matrix(ref);
    const own = rows / numExperts;
    return { rows: own, cols, values: values.subarray(expert * own * cols, (expert + 1) * own * cols) };
  };
  return { gate: of(weights.gate), up: of(weights.up), down: of(weights.down) };
}
