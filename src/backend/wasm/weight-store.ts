import { ShapeError } from "../../base/errors.ts";
import { dimensionsOf, type WeightRef, type WeightSpec } from "../../base/tensor-ref.ts";
import { formatCode, rowBytes } from "../../base/weight-format.ts";
import type { ModelShape } from "../backend.ts";
import type { Arena } from "./arena.ts";
import { DESCRIPTOR_WORDS, F16_SPECIAL } from "./assembly/layout.ts";
import type { WasmExports } from "./exports.ts";
import { stagingBytes } from "./memory-map.ts";
import { WasmWeight } from "./refs.ts";

/** Weights in the kernels' layout: matrices in blocks of 8 rows in their own format, vectors as f32. */
export class WeightStore {
  /** Bytes of all weights. */
  bytes = 0;
  readonly #arena: Arena;
  readonly #staging: number;
  readonly #stagingBytes: number;

  constructor(arena: Arena, model: ModelShape) {
    this.#arena = arena;
    this.#stagingBytes = stagingBytes(model);
    this.#staging = arena.allocate(this.#stagingBytes, "weight staging");
  }

  create(spec: WeightSpec): WasmWeight {
    const { name, format } = spec;
    const { rows, cols } = dimensionsOf(spec);
    const isVector = spec.kind === "vector";
    const bytes = isVector ? cols * 4 : Math.ceil(rows / 8) * 8 * rowBytes(format, cols);
    const descriptor = this.#arena.allocate(4 * DESCRIPTOR_WORDS, `weight ${name}`);
    const address = this.#arena.allocate(bytes, `weight ${name} [${rows}, ${cols}] in ${format}`);
    this.#arena.integers.set([address, rows, cols, formatCode(isVector ? "f32" : format)], descriptor / 4);
    this.bytes += bytes;
    return new WasmWeight(spec, address, descriptor);
  }

  /** Packs whole rows into the weight's memory, as many at a time as the staging area holds. */
  write(kernels: WasmExports, ref: WeightRef, firstRow: number, bytes: Uint8Array): void {
    const { kind, name, format, rows, cols, address, descriptor } = WasmWeight.of(ref);
    const oneRow = rowBytes(format, cols);
    const count = bytes.byteLength / oneRow;
    if (!Number.isInteger(count) || firstRow % 8 !== 0 || firstRow + count > rows)
      throw new ShapeError(
        `writing ${bytes.byteLength} bytes at row ${firstRow} of ${name} [${rows}, ${cols}] in ${format}`,
      );
    const most = kind === "vector" ? 1 : Math.floor(this.#stagingBytes / (8 * oneRow)) * 8;
    if (most === 0 || oneRow > this.#stagingBytes)
      throw new ShapeError(`weight ${name} has ${cols} columns, more than any of the model`);
    for (let row = 0; row < count; row += most) {
      const n = Math.min(most, count - row);
      this.#arena.bytes.set(bytes.subarray(row * oneRow, (row + n) * oneRow), this.#staging);
      const code = formatCode(format);
      if (kind === "vector") kernels.decodeVector(code, this.#staging, address, cols);
      else if (kernels.packRows(code, this.#staging, address + (firstRow + row) * oneRow, n, cols))
        this.#arena.integers[descriptor / 4 + 3] = F16_SPECIAL;
    }
  }
}
