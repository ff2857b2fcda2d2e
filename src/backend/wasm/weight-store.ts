import { BackendError, ModelFileError, ShapeError } from "../../base/errors.ts";
import { dimensionsOf, type WeightRef, type WeightSpec } from "../../base/tensor-ref.ts";
import { formatCode, isFloatFormat, rowBytes, type WeightFormat } from "../../base/weight-format.ts";
import type { ModelShape } from "../backend.ts";
import type { Arena } from "./arena.ts";
import { DESCRIPTOR_WORDS, F16_SPECIAL } from "./assembly/layout.ts";
import type { WasmExports } from "./exports.ts";
import { stagingBytes } from "./memory-map.ts";
import { WasmWeight } from "./refs.ts";

/** Formats of matrices that the kernels read. */
export const WASM_FORMATS: ReadonlySet<WeightFormat> = new Set([
  ...(["f32", "f16", "bf16"] as const),
  ...(["q8_0", "q4_0", "q4_1", "q5_1", "q4_k", "q5_k", "q6_k"] as const),
]);

/** Weights in the kernels' layout: matrices in groups of 8 or 16 rows in their own format, vectors as f32. */
export class WeightStore {
  /** Bytes of all weights. */
  bytes = 0;
  readonly #arena: Arena;
  readonly #kernels: WasmExports;
  readonly #staging: number;
  readonly #stagingBytes: number;

  constructor(arena: Arena, kernels: WasmExports, model: ModelShape) {
    this.#arena = arena;
    this.#kernels = kernels;
    this.#stagingBytes = stagingBytes(model);
    this.#staging = arena.allocate(this.#stagingBytes, "weight staging");
  }

  create(spec: WeightSpec): WasmWeight {
    const { name, format } = spec;
    const { rows, cols } = dimensionsOf(spec);
    const isVector = spec.kind === "vector";
    rowBytes(format, cols);
    const experts = expertsOf(spec);
    const code = formatCode(isVector ? "f32" : format);
    const bytes = isVector ? cols * 4 : experts * this.#kernels.packedBytes(code, rows / experts, cols);
    const descriptor = this.#arena.allocate(4 * DESCRIPTOR_WORDS * experts, `weight ${name}`);
    const address = this.#arena.allocate(bytes, `weight ${name} [${rows}, ${cols}] in ${format}`);
    for (let expert = 0; expert < experts; expert++)
      this.#arena.integers.set(
        [address + (expert * bytes) / experts, rows / experts, cols, code],
        descriptor / 4 + expert * DESCRIPTOR_WORDS,
      );
    this.bytes += bytes;
    if (!isVector && !isFloatFormat(format)) this.#arena.setWord("isRounded", 1);
    return new WasmWeight(spec, address, descriptor);
  }

  /**
   * Packs whole rows into the weight's memory, as many at a time as the staging area holds.
   * @throws ShapeError for rows that are not the weight's
   * @throws ModelFileError for a quantised block whose scale is Inf or NaN
   */
  write(ref: WeightRef, firstRow: number, bytes: Uint8Array): void {
    const weight = WasmWeight.of(ref);
    const { kind, name, format, rows, cols, address } = weight;
    const oneRow = rowBytes(format, cols);
    const count = bytes.byteLength / oneRow;
    if (!Number.isInteger(count) || firstRow % 8 !== 0 || firstRow + count > rows)
      throw new ShapeError(
        `writing ${bytes.byteLength} bytes at row ${firstRow} of ${name} [${rows}, ${cols}] in ${format}`,
      );
    const most = kind === "vector" ? 1 : Math.floor(this.#stagingBytes / (8 * oneRow)) * 8;
    if (most === 0 || oneRow > this.#stagingBytes)
      throw new ShapeError(`weight ${name} has ${cols} columns, more than any of the model`);
    const perExpert = rows / weight.experts;
    for (let row = 0; row < count; ) {
      const at = firstRow + row;
      const expert = Math.floor(at / perExpert);
      const n = Math.min(most, count - row, (expert + 1) * perExpert - at);
      this.#arena.bytes.set(bytes.subarray(row * oneRow, (row + n) * oneRow), this.#staging);
      if (kind === "vector") this.#kernels.decodeVector(formatCode(format), this.#staging, address, cols);
      else this.#pack(weight, expert, at - expert * perExpert, n);
      row += n;
    }
  }

  /** Packs staged rows of an expert. */
  #pack(
    { name, format, cols, descriptor }: WasmWeight,
    expert: number,
    firstRow: number,
    rows: number,
  ): void {
    const { integers } = this.#arena;
    const at = descriptor / 4 + expert * DESCRIPTOR_WORDS;
    const address = integers[at];
    if (!this.#kernels.packRows(formatCode(format), this.#staging, address, firstRow, rows, cols)) return;
    if (!isFloatFormat(format))
      throw new ModelFileError(
        `weight ${name} in ${format}: expected finite scales, got Inf or NaN in rows ${firstRow} to ${firstRow + rows - 1}; ` +
          "the file is damaged, fetch it anew",
      );
    integers[at + 3] = F16_SPECIAL;
  }
}

/** Descriptors of a weight: one for each expert. @throws BackendError for experts whose rows are no whole row groups */
function expertsOf(spec: WeightSpec): number {
  if (spec.kind === "vector" || spec.experts === undefined) return 1;
  if (spec.rows % 8 === 0) return spec.experts;
  throw new BackendError(
    `backend wasm: weight ${spec.name} has experts of ${spec.rows} rows; expected a multiple of 8; take the reference backend`,
  );
}
