/** Metrics of the attention of one step, from a trace of the engine's observer. Pure functions. */
import type { LayerTrace, StepTrace } from "../../src/node/index.ts";
import { jaccard } from "./jaccard.ts";

/** The positions that a query head attends to by the layer's selection; undefined without one. */
export function selectionOf(layer: LayerTrace, head: number, numHeads: number): Uint32Array | undefined {
  const { selection } = layer;
  return selection?.[Math.floor((head * selection.length) / numHeads)];
}

/**
 * Attention recall: the dense softmax mass on the selected positions, by query head. In a layer that selects and attends to all,
 * of the set that it makes for later layers. undefined without weights or selection.
 */
export function recall(layer: LayerTrace): readonly number[] | undefined {
  const { weights, selection } = layer;
  if (!weights || !selection) return undefined;
  return weights.map((row, head) => {
    let mass = 0;
    for (const position of selectionOf(layer, head, weights.length) ?? []) mass += row[position] ?? 0;
    return mass;
  });
}

/** Relative L2 error of the output, by query head: |output - dense output| / |dense output|. undefined without outputs. */
export function outputError(layer: LayerTrace, numHeads: number): readonly number[] | undefined {
  const { output, denseOutput } = layer;
  if (!output || !denseOutput) return undefined;
  const headDim = output.length / numHeads;
  return Array.from({ length: numHeads }, (_, head) => {
    let [difference, size] = [0, 0];
    for (let i = head * headDim; i < (head + 1) * headDim; i++) {
      const dense = denseOutput[i] ?? 0;
      difference += ((output[i] ?? 0) - dense) ** 2;
      size += dense ** 2;
    }
    return difference === 0 ? 0 : Math.sqrt(difference / size);
  });
}

/** Overlap of the selections of query heads: [numHeads][numHeads]. undefined if all heads share one, and without a selection. */
export function headOverlap(layer: LayerTrace, numHeads: number): readonly (readonly number[])[] | undefined {
  const { selection } = layer;
  if (!selection || selection.length === 1) return undefined;
  const groups = selection.map((a) => selection.map((b) => jaccard(a, b)));
  const groupOf = (head: number) => Math.floor((head * selection.length) / numHeads);
  const heads = Array.from({ length: numHeads }, (_, head) => groupOf(head));
  return heads.map((a) => heads.map((b) => groups[a]?.[b] ?? 0));
}

/** Mean overlap over query heads of the selections of two layers, or of one layer in two steps; undefined without both. */
export function selectionOverlap(a: LayerTrace, b: LayerTrace, numHeads: number): number | undefined {
  if (!a.selection || !b.selection) return undefined;
  if (a.selection === b.selection) return 1;
  let sum = 0;
  for (let head = 0; head < numHeads; head++)
    sum += jaccard(selectionOf(a, head, numHeads) ?? [], selectionOf(b, head, numHeads) ?? []);
  return sum / numHeads;
}

/** Overlap of the layers of a step: [layers][layers], in order of the trace; null for a layer without a selection. */
export function layerOverlap({ layers, numQueryHeads }: StepTrace): readonly (readonly (number | null)[])[] {
  return layers.map((a) => layers.map((b) => selectionOverlap(a, b, numQueryHeads) ?? null));
}

/** Overlap of each layer with itself in another step, in order of the trace; null where one of them has no selection. */
export function stepOverlap(now: StepTrace, before: StepTrace): readonly (number | null)[] {
  return now.layers.map((layer) => {
    const same = before.layers.find((one) => one.layer === layer.layer);
    return (same && selectionOverlap(layer, same, now.numQueryHeads)) ?? null;
  });
}

/** Bytes that the observed layers read, selection included. */
export function kvBytes({ layers }: StepTrace): number {
  return layers.reduce((sum, layer) => sum + layer.kvBytes, 0);
}

/** `kvBytes` over the bytes of the cached keys and values of the observed layers; 1 for no layer. */
export function attendedFraction(trace: StepTrace): number {
  const cached = trace.layers.length * trace.layerBytes;
  return cached === 0 ? 1 : kvBytes(trace) / cached;
}
