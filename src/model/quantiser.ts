import { BackendError } from "../base/errors.ts";
import {
  decodeWeights,
  elementsIn,
  formatCode,
  isFloatFormat,
  rowBytes,
  WEIGHT_FORMATS,
  type WeightFormat,
} from "../base/weight-format.ts";
import { QUANTISER_MODULE } from "./quantiser-module.ts";

/** Formats that weights are quantised to on load. */
export type BlockFormat = "q8_0" | "q4_0";

interface QuantiserExports {
  readonly memory: WebAssembly.Memory;
  freeMemory(): number;
  quantise(from: number, to: number, src: number, blocks: number, dst: number): number;
}

const PAGE_BYTES = 65_536;
const BLOCK_ELEMENTS = 32;

/**
 * Quantises weights in WebAssembly with SIMD, in a memory of its own, so that it serves every backend. The blocks are those of
 * base/quantize-weights.ts, bit for bit.
 */
export class Quantiser {
  readonly #exports: QuantiserExports;

  private constructor(exports: QuantiserExports) {
    this.#exports = exports;
  }

  /** @throws BackendError where the page or the JavaScript engine forbids WebAssembly */
  static async open(): Promise<Quantiser> {
    try {
      const bytes = Uint8Array.from(atob(QUANTISER_MODULE), (letter) => letter.charCodeAt(0));
      const { instance } = await WebAssembly.instantiate(bytes);
      return new Quantiser(instance.exports as unknown as QuantiserExports);
    } catch (cause) {
      throw new BackendError(
        `quantising weights: expected WebAssembly with SIMD, got ${String(cause)}; allow 'wasm-unsafe-eval' in the page's ` +
          "Content-Security-Policy, or open the model in its own precision (dtype own)",
        { cause },
      );
    }
  }

  /**
   * bytes: whole blocks of `from`, a multiple of 32 elements. Returns whole blocks of `to`, valid until the next call; undefined
   * if a value is not finite or too large for a block.
   */
  quantise(bytes: Uint8Array, from: WeightFormat, to: BlockFormat): Uint8Array | undefined {
    const count = elementsIn(from, bytes.byteLength);
    const source = isFloatFormat(from) ? from : "f32";
    const start = this.#exports.freeMemory();
    const out = start + Math.ceil(rowBytes(source, count) / 16) * 16;
    const outBytes = (count / BLOCK_ELEMENTS) * WEIGHT_FORMATS[to].blockBytes;
    this.#reserve(out + outBytes);
    const { buffer } = this.#exports.memory;
    if (source === from) new Uint8Array(buffer, start, bytes.byteLength).set(bytes);
    else decodeWeights(bytes, from, new Float32Array(buffer, start, count));
    const blocks = count / BLOCK_ELEMENTS;
    if (!this.#exports.quantise(formatCode(source), formatCode(to), start, blocks, out)) return undefined;
    return new Uint8Array(buffer, out, outBytes);
  }

  #reserve(sizeBytes: number): void {
    const { memory } = this.#exports;
    const missing = Math.ceil((sizeBytes - memory.buffer.byteLength) / PAGE_BYTES);
    if (missing > 0) memory.grow(missing);
  }
}
