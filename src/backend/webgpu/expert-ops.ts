import { ShapeError } from "../../base/errors.ts";
import type { WeightRef } from "../../base/tensor-ref.ts";
import type { ExpertFeedForwardWeights, ExpertShape } from "../backend.ts";
import { actFile, type GpuContext } from "./context.ts";
import { reducePrelude, subgroupConstants } from "./device-traits.ts";
import { LinearOps } from "./linear-ops.ts";
import { type ProductInputs, padded, type Rows } from "./product-inputs.ts";
import { type NumberedBuffer, WebGpuWeight } from "./refs.ts";
import type { Target } from "./slice-sums.ts";
import { weightConstants, weightFiles } from "./weight-files.ts";

/** Rows of an expert that a workgroup of expert-products.wgsl takes. */
const GROUP_ROWS = 4;

/** Elements of the buffers that experts need. */
export function expertElements({ numExperts, topExperts, intermediateSize }: ExpertShape, rows: number) {
  return {
    routed: rows * numExperts,
    chosen: rows * topExperts * 2,
    gated: rows * topExperts * padded(intermediateSize),
  };
}

/** The feed-forward of experts. Which experts compute a row is known on the device alone. */
export class ExpertOps {
  readonly #context: GpuContext;
  readonly #experts: ExpertShape;
  readonly #linear: LinearOps;
  readonly #inputs: ProductInputs;
  /** Logits of the router: f32 [rows, numExperts]. */
  readonly #routed: NumberedBuffer;
  /** u32 [rows, topExperts, 2]: expert, and the bits of its weight. */
  readonly #chosen: NumberedBuffer;
  /** f32 [rows × topExperts, padded(intermediateSize)] */
  readonly #gated: NumberedBuffer;

  constructor(context: GpuContext, experts: ExpertShape, linear: LinearOps, inputs: ProductInputs) {
    const { buffers, capacity } = context;
    const elements = expertElements(experts, capacity.maxBatchRows);
    this.#context = context;
    this.#experts = experts;
    this.#linear = linear;
    this.#inputs = inputs;
    this.#routed = buffers.storage("router logits", 4 * elements.routed);
    this.#chosen = buffers.storage("chosen experts", 4 * elements.chosen);
    this.#gated = buffers.storage("gated of experts", 4 * elements.gated);
  }

  /** Records x += the weighted sum of each row's experts. */
  record({ norm, router, gate, up, down }: ExpertFeedForwardWeights, x: Rows): void {
    const { hiddenSize } = this.#context.model;
    const { numExperts, topExperts, intermediateSize } = this.#experts;
    const normWeight = WebGpuWeight.of(norm);
    this.#linear.multiply(
      [{ weight: LinearOps.weight(router, numExperts, hiddenSize), out: 0 }],
      x,
      { storage: this.#routed, stride: numExperts },
      { norm: normWeight },
    );
    this.#route(x.count);
    const normed = this.#inputs.floats(x, hiddenSize, { norm: normWeight });
    const stride = padded(intermediateSize);
    const inner: Target = { storage: this.#gated, stride };
    const choices = x.count * topExperts;
    this.#products(gate, [intermediateSize, hiddenSize], normed, inner, { items: choices });
    this.#products(up, [intermediateSize, hiddenSize], normed, inner, { items: choices, isGated: true });
    const gated = { storage: this.#gated, stride, count: choices };
    this.#products(down, [hiddenSize, intermediateSize], gated, x, { items: x.count, isSum: true });
  }

  #route(rows: number): void {
    const { recorder } = this.#context;
    const { numExperts, topExperts, isNormalised } = this.#experts;
    recorder.dispatch({
      category: "weights",
      kernel: recorder.kernel(["route"], { EXPERTS: numExperts, TOP: topExperts, NORMALISED: isNormalised }),
      bindings: { logits: this.#routed, chosen: this.#chosen },
      grid: [rows],
    });
  }

  #products(
    ref: WeightRef,
    [rows, cols]: readonly [number, number],
    x: Rows,
    out: Target,
    { items, isGated = false, isSum = false }: { items: number; isGated?: boolean; isSum?: boolean },
  ): void {
    const { recorder, traits, model } = this.#context;
    const { numExperts, topExperts } = this.#experts;
    const weight = LinearOps.weight(ref, numExperts * rows, cols);
    const threads = 64;
    const reader = weightFiles(weight.format, { floats: "embed-floats", quantised: "embed-quantised" });
    const kernel = recorder.kernel(
      [...reader, actFile(model), reducePrelude(traits, threads), "expert-products"],
      {
        ...subgroupConstants(traits),
        ...weightConstants(weight.format, cols),
        ...{ THREADS: threads, LANES: threads, ROWS: rows, COLS: cols, STRIDE: weight.stride },
        ...{ X_STRIDE: x.stride / 4, OUT_STRIDE: out.stride, TOP: topExperts, GATED: isGated, SUM: isSum },
      },
    );
    for (const { slab, offset, firstRow, rows: sliceRows } of weight.slices)
      recorder.dispatch({
        category: "weights",
        kernel,
        params: { first_vector: offset / 16, first: firstRow, rows: sliceRows },
        bindings: { weights_first: slab, x: x.storage, chosen: this.#chosen, out: out.storage },
        grid: [Math.ceil(rows / GROUP_ROWS), items],
      });
  }
}

/** @throws ShapeError if the model has no experts */
export function expertsOf(ops: ExpertOps | undefined): ExpertOps {
  if (!ops) throw new ShapeError("a feed-forward of experts, but the backend was opened for a model without");
  return ops;
}
