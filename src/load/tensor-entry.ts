import type { WeightFormat } from "../base/weight-format.ts";
import type { ByteSource } from "./byte-source.ts";

/** A tensor's place in its file. */
export interface TensorEntry {
  readonly name: string;
  /** The file's own spelling, e.g. "BF16" or "Q4_K". */
  readonly fileDtype: string;
  /** undefined when the engine cannot compute with `fileDtype`. */
  readonly format: WeightFormat | undefined;
  /** The last dimension is that of the columns, as in safetensors. */
  readonly shape: readonly number[];
  /** The open file, owned by the checkpoint. */
  readonly source: ByteSource;
  /** Bytes from the start of the file. */
  readonly offset: number;
  readonly sizeBytes: number;
  /** The row of the file that is row i of the matrix, for files that keep rows in another order. Absent: row i. */
  readonly rowOrder?: (row: number) => number;
  /** True for a norm whose values include the 1 that Hugging Face's checkpoints of Gemma leave out (GGUF). */
  readonly includesOne?: boolean;
}
