import { ModelFileError } from "../base/errors.ts";
import { printValue } from "../base/print-value.ts";
import { quantizeQ4_0, quantizeQ8_0 } from "../base/quantize-weights.ts";
import { repackedFormat, repackWeights } from "../base/repack-weights.ts";
import { decodeWeights, elementsIn, rowBytes, type WeightFormat } from "../base/weight-format.ts";

const QUANTIZERS = { q8_0: quantizeQ8_0, q4_0: quantizeQ4_0 } as const;

/** Converts slices of one weight from the checkpoint's format to the stored one. Reuses one array for the values. */
export class WeightConverter {
  #values = new Float32Array(0);

  /**
   * bytes: whole blocks of `from`. Returns them, or a new array of whole blocks of `to`.
   * @throws ModelFileError on values that no block can hold
   */
  convert(
    bytes: Uint8Array,
    { name, from, to }: { name: string; from: WeightFormat; to: WeightFormat },
  ): Uint8Array {
    if (from === to) return bytes;
    if (to !== "q8_0" && to !== "q4_0") return repackWeights(bytes, from, to);
    if (repackedFormat(from, new Set([to])) === to) return repackWeights(bytes, from, to);
    const count = elementsIn(from, bytes.byteLength);
    if (this.#values.length < count) this.#values = new Float32Array(count);
    const values = this.#values.subarray(0, count);
    decodeWeights(bytes, from, values);
    const out = new Uint8Array(rowBytes(to, count));
    if (QUANTIZERS[to](values, out)) return out;
    throw new ModelFileError(
      `quantising tensor ${printValue(name)} to ${to}: it has values that are not finite or too large for a block; open it ` +
        "in its own precision (dtype own), and see `lessismore inspect` for the tensors that are not sound",
    );
  }
}
