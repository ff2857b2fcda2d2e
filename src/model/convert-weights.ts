import { ModelFileError } from "../base/errors.ts";
import { printValue } from "../base/print-value.ts";
import { repackedFormat, repackWeights } from "../base/repack-weights.ts";
import type { WeightFormat } from "../base/weight-format.ts";
import { Quantiser } from "./quantiser.ts";

/** Formats of one weight in the checkpoint and as stored. */
interface Conversion {
  readonly name: string;
  readonly from: WeightFormat;
  readonly to: WeightFormat;
}

/** Converts slices of weights from the checkpoint's format to the stored one. */
export class WeightConverter {
  #quantiser: Promise<Quantiser> | undefined;

  /**
   * bytes: whole blocks of `from`. Returns them, or whole blocks of `to`, which are valid until the next call.
   * @throws ModelFileError on values that no block can hold
   * @throws BackendError where quantising needs WebAssembly and there is none
   */
  async convert(bytes: Uint8Array, { name, from, to }: Conversion): Promise<Uint8Array> {
    if (from === to) return bytes;
    if (to !== "q8_0" && to !== "q4_0") return repackWeights(bytes, from, to);
    if (repackedFormat(from, new Set([to])) === to) return repackWeights(bytes, from, to);
    this.#quantiser ??= Quantiser.open();
    const blocks = (await this.#quantiser).quantise(bytes, from, to);
    if (blocks) return blocks;
    throw new ModelFileError(
      `quantising tensor ${printValue(name)} to ${to}: it has values that are not finite or too large for a block; open it ` +
        "in its own precision (dtype own), and see `lessismore inspect` for the tensors that are not sound",
    );
  }
}
