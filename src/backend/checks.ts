/** Checks of the contract in backend.ts that several backends make: one message for one mistake. */
import { ShapeError } from "../base/errors.ts";
import type { TensorRef, WeightRef, WeightSpec } from "../base/tensor-ref.ts";
import type { Capacity, KeptEnds, ModelShape, Scores, TokenSelection, UnitSet } from "./backend.ts";

/** A backend's class of references; its constructor is the backend's affair. */
type Class<T> = abstract new (...args: never) => T;

/** A tensor as its backend knows it. @throws ShapeError for another backend's */
export function ownTensor<T extends TensorRef>(ref: TensorRef, own: Class<T>): T {
  if (ref instanceof own) return ref;
  throw new ShapeError("this tensor was made by another backend");
}

/** A weight as its backend knows it. @throws ShapeError for another backend's */
export function ownWeight<T extends WeightRef>(ref: WeightRef, own: Class<T>): T {
  if (ref instanceof own) return ref;
  throw new ShapeError(`weight ${ref.name} was made by another backend`);
}

/** @throws ShapeError for a matrix in place of a vector, or a vector in place of a matrix */
export function checkKind({ kind, name, rows, cols }: WeightRef, needed: WeightSpec["kind"]): void {
  if (kind === needed) return;
  const what = kind === "vector" ? "a vector" : `a matrix [${rows}, ${cols}]`;
  throw new ShapeError(`weight ${name} is ${what}, and a ${needed} is needed here`);
}

/** @throws ShapeError for elements that the tensor lacks */
export function checkWrite(data: { readonly length: number }, tensorSize: number, first = 0): void {
  if (data.length + first > tensorSize)
    throw new ShapeError(
      `writing ${data.length} elements ${first === 0 ? "" : `from ${first} on `}into a tensor of ${tensorSize}`,
    );
}

/** @throws ShapeError for a pool that cannot have so many pages */
export function checkPages(numPages: number, { maxPages }: Capacity): void {
  if (!Number.isSafeInteger(numPages) || numPages < 0 || numPages > maxPages)
    throw new ShapeError(`resizing the KV cache: expected 0 to ${maxPages} pages, got ${numPages}`);
}

/** @throws ShapeError for scores of a layer with a window, which would lack the positions before it */
export function checkNoWindow(layer: number, window: number | undefined): void {
  if (window === undefined) return;
  throw new ShapeError(
    `attention of layer ${layer} was asked for scores of all positions, but it sees the last ${window} alone`,
  );
}

/** @throws ShapeError if fewer of the `numUnits` units lie between the ends than are selected */
export function checkCandidates(numUnits: number, { sinks, recent }: KeptEnds, count: number): void {
  const candidates = Math.max(0, numUnits - sinks - recent);
  if (candidates < count)
    throw new ShapeError(`selecting ${count} units, but only ${candidates} candidates lie between the ends`);
}

/** @throws ShapeError for scores that cannot be pooled into so many heads, or in other units */
export function checkPooling(scores: Scores, out: Scores): void {
  if (scores.heads % out.heads !== 0)
    throw new ShapeError(
      `pooling the scores of ${scores.heads} heads: expected a divisor of them, got ${out.heads}`,
    );
  if (scores.unit !== out.unit)
    throw new ShapeError(`pooling scores of units of ${scores.unit} tokens into units of ${out.unit}`);
}

/** @throws ShapeError for a sequence of more units than a set of `unitsAbove` has room for */
export function checkUnits(numUnits: number, { count }: UnitSet): void {
  if (numUnits > count)
    throw new ShapeError(`choosing from ${numUnits} units into a set with room for ${count}`);
}

/** @throws ShapeError unless the map names a kv head for each, and both selections have one set per kv head */
export function checkHeadMap(
  selection: TokenSelection,
  map: readonly number[],
  out: TokenSelection,
  { numKvHeads }: ModelShape,
): void {
  if (selection.headGroups !== numKvHeads || out.headGroups !== numKvHeads)
    throw new ShapeError(
      `mapping heads: expected one set for each of ${numKvHeads} kv heads, got ${selection.headGroups} and ${out.headGroups}`,
    );
  const isMap =
    map.length === numKvHeads &&
    map.every((head) => Number.isInteger(head) && head >= 0 && head < numKvHeads);
  if (!isMap)
    throw new ShapeError(
      `mapping heads: expected ${numKvHeads} kv heads from 0 to ${numKvHeads - 1}, got ${map.join(", ")}`,
    );
}
