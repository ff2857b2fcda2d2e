import { describe, expect, it } from "vitest";
import { sizesOf } from "../../test/sizes.ts";
import { ShapeError } from "../base/errors.ts";
import type { TensorRef, WeightRef } from "../base/tensor-ref.ts";
import { checkCandidates, checkKind, checkPages, checkWrite, ownTensor, ownWeight } from "./checks.ts";

class Tensor implements TensorRef {
  readonly dtype = "f32";
  readonly shape = [1];
}

class Weight implements WeightRef {
  readonly kind = "vector";
  readonly name = "norm";
  readonly format = "f32";
  readonly rows = 1;
  readonly cols = 8;
}

const MATRIX: WeightRef = { kind: "matrix", name: "q", format: "f32", rows: 1, cols: 8 };
const [, CAPACITY] = sizesOf({ maxPages: 4 });

describe("checks of the contract", () => {
  it("pass what is right, up to the limit", () => {
    const [tensor, weight] = [new Tensor(), new Weight()];
    expect(ownTensor(tensor, Tensor)).toBe(tensor);
    expect(ownWeight(weight, Weight)).toBe(weight);
    checkKind(weight, "vector");
    checkKind(MATRIX, "matrix");
    checkWrite([1, 2], 2);
    checkPages(0, CAPACITY);
    checkPages(4, CAPACITY);
    checkCandidates(12, { sinks: 4, recent: 5 }, 3);
    checkCandidates(2, { sinks: 4, recent: 5 }, 0);
  });

  it.each<[string, () => unknown, string]>([
    [
      "another's tensor",
      () => ownTensor({ dtype: "f32", shape: [1] }, Tensor),
      "this tensor was made by another backend",
    ],
    ["another's weight", () => ownWeight(MATRIX, Weight), "weight q was made by another backend"],
    [
      "a vector for a matrix",
      () => checkKind(new Weight(), "matrix"),
      "weight norm is a vector, and a matrix is needed here",
    ],
    [
      "a matrix of one row for a vector",
      () => checkKind(MATRIX, "vector"),
      "weight q is a matrix [1, 8], and a vector is needed here",
    ],
    ["too long a write", () => checkWrite([1, 2, 3], 2), "writing 3 elements into a tensor of 2"],
    ["too many pages", () => checkPages(5, CAPACITY), "expected 0 to 4 pages, got 5"],
    ["no number of pages", () => checkPages(Number.NaN, CAPACITY), "expected 0 to 4 pages, got NaN"],
    [
      "one candidate too few",
      () => checkCandidates(11, { sinks: 4, recent: 5 }, 3),
      "selecting 3 units, but only 2 candidates lie between the ends",
    ],
    [
      "ends that overlap",
      () => checkCandidates(2, { sinks: 4, recent: 5 }, 1),
      "selecting 1 units, but only 0 candidates lie between the ends",
    ],
  ])("refuse %s", (_, check, message) => {
    expect(check).toThrow(ShapeError);
    expect(check).toThrow(message);
  });
});
