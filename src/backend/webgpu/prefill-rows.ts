import type { Capacity, ModelShape } from "../backend.ts";
import { bindingBytes, type DeviceLimits } from "./device-limits.ts";
import { expertElements } from "./expert-ops.ts";
import { padded } from "./product-inputs.ts";

/** On an H200, prefill of qwen3-8b: 256 rows 93 TFLOP/s, 1024 rows 172 to 177, 4096 rows 211 to 218. */
const MAX_ROWS = 4096;
const MIN_ROWS = 256;
/** Rows of a device that computes on the CPU: more save nothing there. */
const SOFTWARE_ROWS = 256;
/** Share of the weights that buffers of rows may take, and bytes that they may take in any case. */
const SHARE_OF_WEIGHTS = 1 / 8;
const MIN_BYTES = 32 << 20;

/** Workgroups of one dimension of a dispatch: one for each choice of an expert. */
const MAX_WORKGROUPS = 65535;
const NO_EXPERTS = { routed: 0, chosen: 0, gated: 0 };

type RowShape = Pick<
  ModelShape,
  "hiddenSize" | "intermediateSize" | "numQueryHeads" | "numKvHeads" | "headDim" | "experts"
> &
  Pick<Capacity, "maxSequenceLength">;

/**
 * Rows of a prefill chunk, a power of two: as many as bring speed, as their buffers stay small beside the weights, and as a
 * binding reaches. 4096 rows of llama-3.1-8b take 0.77 GB beside 16 GB of weights.
 */
export function proposePrefillRows(
  shape: RowShape,
  weightBytes: number,
  device: { readonly limits: DeviceLimits; readonly isSoftware: boolean },
): number {
  if (device.isSoftware) return SOFTWARE_ROWS;
  const bytes = Math.max(MIN_BYTES, weightBytes * SHARE_OF_WEIGHTS);
  const expert = shape.experts && expertElements(shape.experts, 1);
  const widest = 4 * Math.max(padded(shape.intermediateSize), projectedWidth(shape), expert?.gated ?? 0);
  const choices = shape.experts?.topExperts ?? 1;
  let rows = MAX_ROWS;
  const fits = () =>
    rows * rowBytes(shape) <= bytes &&
    rows * widest <= bindingBytes(device.limits) &&
    rows * choices <= MAX_WORKGROUPS;
  while (rows > MIN_ROWS && (!fits() || rows >= 2 * shape.maxSequenceLength)) rows /= 2;
  return rows;
}

/** Bytes of a row in all buffers: of the decoder (x, query, attended), of projections, prepared for products, of the step. */
export function rowBytes(shape: RowShape): number {
  const { hiddenSize, intermediateSize, numQueryHeads, headDim } = shape;
  const queryWidth = numQueryHeads * headDim;
  const prepared = Math.max(hiddenSize, intermediateSize, queryWidth);
  const decoder = hiddenSize + 2 * queryWidth;
  const { routed, chosen, gated } = shape.experts ? expertElements(shape.experts, 1) : NO_EXPERTS;
  const feedForward = padded(intermediateSize) + routed + chosen + gated;
  return 4 * (decoder + projectedWidth(shape) + feedForward + padded(prepared) + headDim);
}

function projectedWidth({ numQueryHeads, numKvHeads, headDim }: RowShape): number {
  return (numQueryHeads + 2 * numKvHeads) * headDim;
}
