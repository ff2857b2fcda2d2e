/** Products of a layer's weights with one row to a whole chunk, against f64. Errors are NMSE of the worst row. */
import { QUANTISED_FORMATS } from "../../src/backend/webgpu/weight-rows.ts";
import { isFloatFormat, type WeightFormat } from "../../src/base/weight-format.ts";
import { matvec, rmsNorm, silu } from "../conformance/brute-force.ts";
import { makeWeight, nmse, type PairedWeight } from "../conformance/random-weights.ts";
import { Trial } from "../conformance/trial.ts";
import { type Sizes, sizesOf } from "../sizes.ts";
import { matrixSpec, vectorSpec } from "../weight-specs.ts";
import { F32_NMSE, type GpuRun, QUANTISED_NMSE, SUBGROUP_MATRIX_NMSE } from "./gpu.ts";
import type { GpuTask } from "./rows.ts";

/** Rows for matrix-vector products, for the few of a decode batch, for tiles that are not full, for a whole chunk. */
const ROWS = [1, 4, 5, 8, 33, 64, 300, 1024];
const QUICK_ROWS = [1, 5, 33];
/** Rows that are compared: both ends, and the edges of tiles. Brute force of all would take minutes. */
const CHECKED = [0, 3, 4, 15, 16, 63, 64, 127, 128];
const SIZES = {
  ...{
    hiddenSize: 256,
    intermediateSize: 648,
    vocabSize: 2003,
    headDim: 64,
    numQueryHeads: 6,
    numKvHeads: 2,
  },
  ...{ maxSequenceLength: 1024, maxPages: 256 },
};
/** Whole super-blocks. */
const QUANTISED_SIZES = { ...SIZES, intermediateSize: 768, numQueryHeads: 8 };

type ProductSizes = Pick<
  Sizes,
  "hiddenSize" | "intermediateSize" | "vocabSize" | "headDim" | "numQueryHeads"
>;

/** A format of all matrices, or of most with another of down and the output, as files that mix formats have it. */
const KINDS: readonly (readonly [format: WeightFormat, more?: WeightFormat])[] = [
  ["f16"],
  ["q4_k", "q6_k"],
  ["bf16"],
  ["f32"],
  ...QUANTISED_FORMATS.map((format) => [format] as const),
];

export function productTasks(run: GpuRun): readonly GpuTask[] {
  return (run.isQuick ? KINDS.slice(0, 2) : KINDS).map((kind) => ({
    name: `products, ${kind.join(" and ")}`,
    run: () => testProducts(run, kind),
  }));
}

async function testProducts(run: GpuRun, [format, more = format]: (typeof KINDS)[number]): Promise<void> {
  const counts = run.isQuick ? QUICK_ROWS : ROWS;
  const sizes = isFloatFormat(format) ? SIZES : QUANTISED_SIZES;
  const maxBatchRows = Math.max(...counts);
  const backend = await run.openOn("f16")(...sizesOf({ ...sizes, maxBatchRows }));
  const trial = new Trial(backend, 7, "f16");
  const products = new Products(trial, sizes, { format, more });
  const name = more === format ? format : `${format} and ${more}`;
  for (const count of counts) {
    const isRounded = run.hasSubgroupMatrices && format !== "f32" && count > 4;
    const exact = isFloatFormat(format) ? F32_NMSE : QUANTISED_NMSE;
    const bound = isRounded ? SUBGROUP_MATRIX_NMSE : exact;
    for (const [op, error] of await products.errors(count))
      run.rows.add("products", `${op}, ${name}, ${count} rows`, { error, bound });
  }
  await trial.backend.close();
}

type Name = "norm" | "gate" | "up" | "down" | "o" | "head";

/** Weights between two attentions, and of the output, by brute force besides. */
export class Products {
  readonly #trial: Trial;
  readonly #sizes: ProductSizes;
  readonly #attendedSize: number;
  readonly #weights: Readonly<Record<Name, PairedWeight>>;
  readonly #logits: ReturnType<Trial["tensor"]>;

  constructor(
    trial: Trial,
    sizes: ProductSizes,
    { format, more }: { readonly format: WeightFormat; readonly more: WeightFormat },
  ) {
    const { backend, random } = trial;
    const { hiddenSize, intermediateSize, vocabSize, numQueryHeads, headDim } = sizes;
    const make = (name: Name, rows: number, cols: number, own = format) =>
      makeWeight(backend, matrixSpec(name, own, [rows, cols]), random);
    this.#trial = trial;
    this.#sizes = sizes;
    this.#attendedSize = numQueryHeads * headDim;
    this.#weights = {
      norm: makeWeight(backend, vectorSpec("norm", format, hiddenSize), random),
      gate: make("gate", intermediateSize, hiddenSize),
      up: make("up", intermediateSize, hiddenSize),
      down: make("down", hiddenSize, intermediateSize, more),
      o: make("o", hiddenSize, this.#attendedSize),
      head: make("head", vocabSize, hiddenSize, more),
    };
    this.#logits = trial.tensor("f32", backend.capacity.maxBatchSequences, vocabSize);
  }

  /** Runs a step of so many rows through `advance` and `logits`. */
  async errors(count: number): Promise<readonly (readonly [op: string, error: number])[]> {
    const { backend, random, x, output: attended, query } = this.#trial;
    const { norm, gate, up, down, o, head } = this.#weights;
    const sequence = this.#trial.newSequence();
    const part = this.#trial.part(sequence, count);
    this.#trial.begin([part]);
    const given = Array.from({ length: count }, () => random.row(this.#attendedSize));
    backend.write(attended, Float32Array.from(given.flatMap((row) => [...row])));
    const feedForward = {
      kind: "dense" as const,
      norm: norm.ref,
      gate: gate.ref,
      up: up.ref,
      down: down.ref,
    };
    backend.advance({ output: { o: o.ref }, feedForward }, undefined, { attended, x, query });
    const wanted = [count - 1, 0];
    backend.logits(norm.ref, head.ref, x, Uint32Array.from(wanted), wanted.length, this.#logits);
    const [actual, logits] = [await this.#trial.floats(x), await this.#trial.floats(this.#logits)];
    this.#trial.end(sequence);

    const { hiddenSize, vocabSize } = this.#sizes;
    const { rmsNormEps } = backend.model;
    const checked = [...CHECKED, count - 2, count - 1].filter((row) => row >= 0 && row < count);
    const advanced = new Map(
      [...new Set([...checked, ...wanted])].map((row) => [row, this.#advanced(part.rows[row], given[row])]),
    );
    const rowErrors = checked.map((row) =>
      nmse(actual.subarray(row * hiddenSize, (row + 1) * hiddenSize), advanced.get(row) ?? []),
    );
    const logitErrors = wanted.map((row, i) => {
      const normed = rmsNorm(advanced.get(row) ?? [], norm.plain.values, rmsNormEps);
      return nmse(logits.subarray(i * vocabSize, (i + 1) * vocabSize), matvec(head.plain, normed));
    });
    return [
      ["advance", Math.max(...rowErrors)],
      ["logits", Math.max(...logitErrors)],
    ];
  }

  /** A row of x after the output projection and the feed-forward. */
  #advanced(before: Float64Array, attended: Float64Array): Float64Array {
    const { norm, gate, up, down, o } = this.#weights;
    const x = matvec(o.plain, attended).map((value, c) => value + before[c]);
    const normed = rmsNorm(x, norm.plain.values, this.#trial.backend.model.rmsNormEps);
    const lifted = matvec(up.plain, normed);
    const inner = matvec(gate.plain, normed).map((g, i) => silu(g) * lifted[i]);
    return matvec(down.plain, inner).map((value, c) => value + x[c]);
  }
}
