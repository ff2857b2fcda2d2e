/** Exports: the steps of the backend interface on addresses. A weight is the address of its descriptor; 0 is none. */
import { attend, attentionScratch } from "./attention";
import { fork, MOST_THREADS } from "./control";
import { Job } from "./dispatch";
import * as linear from "./linear";
import { pagesScratch } from "./pages";
import { prefill, prefillScratch } from "./prefill-attention";
import { selectScratch } from "./select";
import { batch, setParam, setThread, shape, weight } from "./state";
import { decodeVector, gatherRow, packRows } from "./weights";

export { stop, workerLoop } from "./control";
export { pageScores, randomScores, updateBounds } from "./pages";
export { mergeByRank, topK, expandSelection } from "./select";
export { readAll } from "./read";
export { decodeVector, packRows };

/** Bytes of scratch a thread needs for the shape that is set. */
export function scratchBytes(): u32 {
  return max<u32>(
    max<u32>(linear.linearScratch(), attentionScratch()),
    max<u32>(prefillScratch(), max<u32>(selectScratch(), pagesScratch())),
  );
}

/** Makes this instance the first thread; the shape and scratch are set. */
export function startMain(): void { setThread(0); }

export function embed(table: usize, x: usize): void {
  const rows = batch.rows();
  for (let row: u32 = 0; row < rows; row++)
    gatherRow(table, batch.tokenId(row), x + <usize>(row * shape.hidden() * 4));
}

/** normed[i] = norm(x[i]), or norm(x[logitsRow(i)]). */
function normRows(x: usize, norm: usize, rows: u32, gathered: u32): void {
  setParam(0, <u32>x);
  setParam(1, <u32>weight.data(norm));
  setParam(2, rows);
  setParam(3, gathered);
  fork(Job.NORM, (rows + 7) / 8, MOST_THREADS);
}

// @ts-ignore: decorator
@inline function vector(w: usize): usize { return w ? weight.data(w) : 0; }

export function attentionInput(layer: u32, norm: usize, q: usize, k: usize, v: usize, qBias: usize, kBias: usize, vBias: usize, qNorm: usize, kNorm: usize, x: usize, query: usize): void {
  const rows = batch.rows();
  normRows(x, norm, rows, 0);
  linear.begin(shape.normed(), rows, shape.hidden());
  linear.add(q, 0, linear.Mode.STORE, vector(qBias), query);
  linear.add(k, 0, linear.Mode.STORE, vector(kBias), shape.newKeys());
  linear.add(v, 0, linear.Mode.STORE, vector(vBias), shape.newValues());
  linear.run();
  setParam(0, layer);
  setParam(1, <u32>query);
  setParam(2, <u32>vector(qNorm));
  setParam(3, <u32>vector(kNorm));
  fork(Job.FINISH, rows, MOST_THREADS);
}

/** Sequences of one row take the decode path, others the tiled one. */
export function attendAll(layer: u32, first: u32, count: u32, query: usize, output: usize, scores: usize, capacity: u32): void {
  let single: u32 = 0;
  for (let s = first; s < first + count; s++) single += u32(batch.rowCount(s) == 1);
  if (single < count) prefill(layer, first, count, query, output);
  if (single > 0) attend(layer, first, count, query, output, 0, 1, 0, 0, scores, capacity, 0);
}

export function attendSelected(layer: u32, first: u32, count: u32, query: usize, indices: usize, groups: u32, capacity: u32, counts: usize, output: usize): void {
  attend(layer, first, count, query, output, indices, groups, capacity, counts, 0, 0, 0);
}

export function scores(layer: u32, first: u32, count: u32, query: usize, out: usize, capacity: u32): void {
  attend(layer, first, count, query, 0, 0, 1, 0, 0, out, capacity, 1);
}

export function attentionOutput(o: usize, bias: usize, attended: usize, x: usize): void {
  linear.begin(attended, batch.rows(), weight.cols(o));
  linear.add(o, 0, linear.Mode.ADD, vector(bias), x);
  linear.run();
}

export function feedForward(norm: usize, gate: usize, up: usize, down: usize, x: usize): void {
  const rows = batch.rows();
  normRows(x, norm, rows, 0);
  linear.begin(shape.normed(), rows, shape.hidden());
  linear.add(gate, up, linear.Mode.SILU, 0, shape.gate());
  linear.run();
  linear.begin(shape.gate(), rows, shape.intermediate());
  linear.add(down, 0, linear.Mode.ADD, 0, x);
  linear.run();
}

export function logits(norm: usize, output: usize, x: usize, count: u32, out: usize): void {
  normRows(x, norm, count, 1);
  linear.begin(shape.normed(), count, shape.hidden());
  linear.add(output, 0, linear.Mode.STORE, 0, out);
  linear.run();
}

/** out = W · x for `rows` rows of x: for measuring. */
export function matmul(w: usize, x: usize, rows: u32, out: usize): void {
  linear.begin(x, rows, weight.cols(w));
  linear.add(w, 0, linear.Mode.STORE, 0, out);
  linear.run();
}
