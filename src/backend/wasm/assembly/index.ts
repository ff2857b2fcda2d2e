/**
 * Exports: the ops of the backend interface on addresses. A weight is the address of its descriptor; 0 is none. The build
 * reads the signatures here for TypeScript.
 */
import { attend, attentionScratch } from "./attention";
import * as linear from "./linear";
import { expertRowsThrough, route } from "./experts";
import { addNormRows, finishRows, normRows } from "./norm-rope";
import { sketchScratch } from "./key-sketch";
import { pagesScratch } from "./pages";
import { maskScores } from "./pool";
import { prefill, prefillScratch } from "./prefill-attention";
import { selectScratch } from "./select";
import { batch, experts, model, region, setThread, weight } from "./state";
import { gatherRow } from "./weights";

export { stop, workerLoop } from "./control";
export { sketchScores, updateKeySketch } from "./key-sketch";
export { blockScores, updateBlockKeys } from "./block-gate";
export { pageScores, randomScores, updateBounds } from "./pages";
export { copySet, poolScores, unitsAbove } from "./pool";
export { mergeByRank, topK, expandSelection } from "./select";
export { readAll } from "./read";
export { decodeVector, packedBytes, packRows } from "./weights";
export * from "./layout";
export * from "./words";

/** Bytes of scratch that a thread needs for the sizes that are set. */
export function threadScratch(): u32 {
  return max<u32>(
    max<u32>(linear.linearScratch(), attentionScratch()),
    max<u32>(prefillScratch(), max<u32>(selectScratch(), max<u32>(pagesScratch(), sketchScratch()))),
  );
}

/** Makes this instance thread 0; sizes and scratch are set. */
export function startMain(): void { setThread(0); }

export function embed(table: usize, x: usize): void {
  const rows = batch.rows();
  const scale = model.embeddingScale();
  for (let row: u32 = 0; row < rows; row++) {
    const at = x + <usize>(row * model.hidden() * 4);
    gatherRow(table, batch.tokenId(row), at);
    if (scale != 1) for (let i: u32 = 0; i < model.hidden(); i++)
      store<f32>(at + <usize>(i * 4), load<f32>(at + <usize>(i * 4)) * scale);
  }
}

// @ts-ignore: decorator
@inline function vector(w: usize): usize { return w ? weight.data(w) : 0; }

export function attentionInput(layer: u32, norm: usize, q: usize, k: usize, v: usize, qBias: usize, kBias: usize, vBias: usize, qNorm: usize, kNorm: usize, x: usize, query: usize, queryRope: u32, keyRope: u32, rawQuery: usize, rawKeys: usize): void {
  const rows = batch.rows();
  normRows(x, weight.data(norm), rows, false);
  linear.begin(region.normed(), rows, model.hidden());
  linear.add(q, 0, linear.Mode.STORE, vector(qBias), query);
  linear.add(k, 0, linear.Mode.STORE, vector(kBias), region.newKeys());
  linear.add(v, 0, linear.Mode.STORE, vector(vBias), region.newValues());
  linear.run();
  finishRows(layer, query, vector(qNorm), vector(kNorm), rows, queryRope, keyRope, rawQuery, rawKeys);
}

/** Sequences of one row take the decode kernel, others the prefill kernel. window: 0 is none. */
export function attendAll(layer: u32, first: u32, count: u32, query: usize, output: usize, scores: usize, capacity: u32, window: u32): void {
  let single: u32 = 0;
  for (let s = first; s < first + count; s++) single += u32(batch.rowCount(s) == 1);
  if (single < count) prefill(layer, first, count, query, output, window);
  if (single > 0) attend(layer, first, count, query, output, 0, 1, 0, 0, scores, capacity, 0, window);
}

export function attendSelected(layer: u32, first: u32, count: u32, query: usize, indices: usize, groups: u32, capacity: u32, counts: usize, output: usize): void {
  attend(layer, first, count, query, output, indices, groups, capacity, counts, 0, 0, 0, 0);
}

export function scores(layer: u32, first: u32, count: u32, query: usize, out: usize, capacity: u32): void {
  attend(layer, first, count, query, 0, 0, 1, 0, 0, out, capacity, 1, 0);
}

/** Scores of the candidates; -Infinity elsewhere. */
export function selectedScores(layer: u32, first: u32, count: u32, query: usize, indices: usize, groups: u32, capacity: u32, counts: usize, out: usize, outCapacity: u32): void {
  maskScores(first, count, out, model.queryHeads(), outCapacity);
  attend(layer, first, count, query, 0, indices, groups, capacity, counts, out, outCapacity, 1, 0);
}

export function attentionOutput(o: usize, bias: usize, attended: usize, x: usize, norm: usize): void {
  linear.begin(attended, batch.rows(), weight.cols(o));
  addResult(o, bias, x, norm);
}

/** x += w · x of the job (+ bias), through a norm if there is one. */
function addResult(w: usize, bias: usize, x: usize, norm: usize): void {
  linear.add(w, 0, norm ? linear.Mode.STORE : linear.Mode.ADD, vector(bias), norm ? region.normed() : x);
  linear.run();
  if (norm) addNormRows(region.normed(), weight.data(norm), batch.rows(), x);
}

export function feedForward(norm: usize, gate: usize, up: usize, down: usize, x: usize, outputNorm: usize): void {
  const rows = batch.rows();
  normRows(x, weight.data(norm), rows, false);
  linear.begin(region.normed(), rows, model.hidden());
  linear.add(gate, up, linear.gateMode(), 0, region.gate());
  linear.run();
  linear.begin(region.gate(), rows, model.intermediate());
  addResult(down, 0, x, outputNorm);
}

/** gate, up and down: descriptors of all experts, one after the other. */
export function expertFeedForward(norm: usize, router: usize, gate: usize, up: usize, down: usize, x: usize): void {
  const rows = batch.rows();
  normRows(x, weight.data(norm), rows, false);
  linear.begin(region.normed(), rows, model.hidden());
  linear.add(router, 0, linear.Mode.STORE, 0, region.routed());
  linear.run();
  route(rows);
  for (let expert: u32 = 0; expert < experts.count(); expert++) expertRowsThrough(expert, rows, gate, up, down, x);
}

export function logits(norm: usize, output: usize, x: usize, count: u32, out: usize): void {
  normRows(x, weight.data(norm), count, true);
  linear.begin(region.normed(), count, model.hidden());
  linear.add(output, 0, linear.Mode.STORE, 0, out);
  linear.run();
}

/** out = W · x for `rows` rows of x; for measurements. */
export function matmul(w: usize, x: usize, rows: u32, out: usize): void {
  linear.begin(x, rows, weight.cols(w));
  linear.add(w, 0, linear.Mode.STORE, 0, out);
  linear.run();
}
