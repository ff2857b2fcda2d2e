import { DTYPE_CODES, dtypeBytes, type WeightDtype } from "../../base/dtype.ts";
import { ShapeError } from "../../base/errors.ts";
import type { WeightRef } from "../../base/tensor-ref.ts";
import type { BackendShape } from "../backend.ts";
import type { Arena } from "./arena.ts";
import { DESCRIPTOR_WORDS, F16_SPECIAL } from "./assembly/layout.ts";
import type { WasmExports } from "./exports.ts";
import { stagingBytes } from "./memory-map.ts";
import { WasmWeight } from "./refs.ts";

/** Weights in the kernels' layout: matrices in blocks of 8 rows in their own dtype, vectors (one row) as f32. */
export class WeightStore {
  /** Bytes of all weights. */
  bytes = 0;
  readonly #arena: Arena;
  readonly #staging: number;
  readonly #stagingBytes: number;

  constructor(arena: Arena, shape: BackendShape) {
    this.#arena = arena;
    this.#stagingBytes = stagingBytes(shape);
    this.#staging = arena.allocate(this.#stagingBytes, "weight staging");
  }

  create(name: string, dtype: WeightDtype, rows: number, cols: number): WasmWeight {
    const isVector = rows === 1;
    const bytes = isVector ? cols * 4 : Math.ceil(rows / 8) * 8 * cols * dtypeBytes(dtype);
    const descriptor = this.#arena.allocate(4 * DESCRIPTOR_WORDS, `weight ${name}`);
    const address = this.#arena.allocate(bytes, `weight ${name} [${rows}, ${cols}] in ${dtype}`);
    this.#arena.integers.set([address, rows, cols, isVector ? 0 : DTYPE_CODES[dtype]], descriptor / 4);
    this.bytes += bytes;
    return new WasmWeight(name, dtype, rows, cols, address, descriptor);
  }

  /** Packs whole rows into their place, as many at a time as the staging area holds. */
  write(kernels: WasmExports, ref: WeightRef, firstRow: number, bytes: Uint8Array): void {
    const { name, dtype, rows, cols, address, descriptor } = WasmWeight.of(ref);
    const rowBytes = cols * dtypeBytes(dtype);
    const count = bytes.byteLength / rowBytes;
    if (!Number.isInteger(count) || firstRow % 8 !== 0 || firstRow + count > rows)
      throw new ShapeError(
        `writing ${bytes.byteLength} bytes at row ${firstRow} of ${name} [${rows}, ${cols}] in ${dtype}`,
      );
    const most = rows === 1 ? 1 : Math.floor(this.#stagingBytes / (8 * rowBytes)) * 8;
    if (most === 0 || rowBytes > this.#stagingBytes)
      throw new ShapeError(`weight ${name} has ${cols} columns, more than any of the backend's shape`);
    for (let row = 0; row < count; row += most) {
      const n = Math.min(most, count - row);
      this.#arena.bytes.set(bytes.subarray(row * rowBytes, (row + n) * rowBytes), this.#staging);
      const code = DTYPE_CODES[dtype];
      if (rows === 1) kernels.decodeVector(code, this.#staging, address, cols);
      else if (kernels.packRows(code, this.#staging, address + (firstRow + row) * rowBytes, n, cols))
        this.#arena.integers[descriptor / 4 + 3] = F16_SPECIAL;
    }
  }
}
