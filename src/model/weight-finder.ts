import { ModelFileError } from "../base/errors.ts";
import { printValue } from "../base/print-value.ts";
import { isFloatFormat } from "../base/weight-format.ts";
import { quantizerOf } from "../load/quantization.ts";
import type { TensorEntry } from "../load/tensor-entry.ts";
import type { RowOrder, RowRun, WeightPlan } from "./weight-rows.ts";

/** A tensor with the format of its elements. */
type ReadableEntry = TensorEntry & { readonly format: NonNullable<TensorEntry["format"]> };

type ExpertShape = readonly [numExperts: number, rows: number, cols: number];

/** Spellings of a tensor's name: with or without "model.", and inside a model that has a vision tower beside it. */
function spellingsOf(name: string): readonly string[] {
  const bare = name.replace(/^model\./, "");
  return [name, bare, `language_model.${name}`, `model.language_model.${bare}`];
}

/** The part of a name after such a prefix. */
export function withoutPrefix(name: string): string {
  return name.replace(/^(model\.language_model\.|language_model\.model\.|language_model\.|model\.)/, "");
}

/** Finds tensors of a checkpoint and checks each against the config. */
export class WeightFinder {
  readonly #tensors: ReadonlyMap<string, TensorEntry>;
  readonly #checkpointName: string;
  readonly #promised: ReadonlyMap<string, string>;

  /** promised: tensors that an index names and no file has, with their files. */
  constructor(
    tensors: ReadonlyMap<string, TensorEntry>,
    checkpointName: string,
    promised: ReadonlyMap<string, string> = new Map(),
  ) {
    this.#tensors = tensors;
    this.#checkpointName = checkpointName;
    this.#promised = promised;
  }

  /** The tensor under one of the spellings of its name. */
  entry(name: string): TensorEntry | undefined {
    for (const spelling of spellingsOf(name)) {
      const entry = this.#tensors.get(spelling);
      if (entry) return entry;
    }
    return undefined;
  }

  has(name: string): boolean {
    return this.entry(name) !== undefined;
  }

  /** A whole tensor as a matrix. @throws ModelFileError if it is missing, or has another shape or no known format */
  matrix(name: string, [rows, cols]: readonly [number, number]): WeightPlan {
    const entry = this.#find(name, [rows, cols]);
    const { name: stored, format } = entry;
    return { spec: { kind: "matrix", name: stored, format, rows, cols }, runs: [runOf(entry, 0, rows)] };
  }

  /** Some rows of the plan of a whole tensor. */
  rowsOf(
    { spec, runs: [whole] }: WeightPlan,
    { firstRow, numRows, rowOrder }: { firstRow: number; numRows: number; rowOrder?: RowOrder | undefined },
  ): WeightPlan {
    if (spec.kind !== "matrix" || !whole) throw new TypeError("a part of no matrix was planned");
    const isWhole = firstRow === 0 && numRows === spec.rows;
    const name = isWhole ? spec.name : `${spec.name}[${firstRow}:${firstRow + numRows}]`;
    return {
      spec: { ...spec, name, rows: numRows },
      runs: [runOf(whole.entry, firstRow, numRows, rowOrder)],
    };
  }

  /** A whole tensor as a vector. added: to each element, unless the file includes it. @throws ModelFileError as `matrix` */
  vector(
    name: string,
    size: number,
    { rowOrder, added = 0 }: { rowOrder?: RowOrder | undefined; added?: number } = {},
  ): WeightPlan {
    const entry = this.#find(name, [size]);
    const { name: stored, format } = entry;
    if (!isFloatFormat(format))
      throw new ModelFileError(
        `opening ${this.#checkpointName}: tensor ${printValue(stored)} is a vector in ${entry.fileDtype}; expected F32, F16 ` +
          "or BF16: norms and biases are never quantised, so the file is damaged or of another kind",
      );
    const runs = [runOf(entry, 0, size, rowOrder)];
    if (added === 0 || entry.includesOne)
      return { spec: { kind: "vector", name: stored, format, size }, runs };
    return { spec: { kind: "vector", name: stored, format: "f32", size }, runs, added };
  }

  /** Experts of a tensor each. */
  experts(nameOf: (expert: number) => string, [numExperts, rows, cols]: ExpertShape): WeightPlan {
    const entries = Array.from({ length: numExperts }, (_, expert) =>
      this.#find(nameOf(expert), [rows, cols]),
    );
    const [first] = entries;
    if (!first) throw new TypeError("experts of no number were planned");
    for (const entry of entries)
      if (entry.format !== first.format)
        throw new ModelFileError(
          `opening ${this.#checkpointName}: tensor ${printValue(entry.name)} is in ${entry.fileDtype}, but ` +
            `${printValue(first.name)} in ${first.fileDtype}; experts of one layer must have one format`,
        );
    const { name, format } = first;
    const runs = entries.map((entry) => runOf(entry, 0, rows));
    return { spec: { kind: "matrix", name, format, rows, cols, experts: numExperts }, runs };
  }

  /** A tensor of all experts: [numExperts, rows, cols]. */
  expertStack(name: string, [numExperts, rows, cols]: ExpertShape): WeightPlan {
    const entry = this.#find(name, [numExperts, rows, cols]);
    const { name: stored, format } = entry;
    return {
      spec: { kind: "matrix", name: stored, format, rows, cols, experts: numExperts },
      runs: [runOf(entry, 0, numExperts * rows)],
    };
  }

  /** The first or second half of each expert's rows: of a tensor [numExperts, 2 × rows, cols]. */
  expertHalves(name: string, [numExperts, rows, cols]: ExpertShape, half: 0 | 1): WeightPlan {
    const entry = this.#find(name, [numExperts, 2 * rows, cols]);
    const { name: stored, format } = entry;
    return {
      spec: { kind: "matrix", name: `${stored}[${half}]`, format, rows, cols, experts: numExperts },
      runs: Array.from({ length: numExperts }, (_, expert) => runOf(entry, (2 * expert + half) * rows, rows)),
    };
  }

  #find(name: string, shape: readonly number[]): ReadableEntry {
    const entry = this.entry(name);
    const opening = `opening ${this.#checkpointName}`;
    if (!entry)
      throw new ModelFileError(
        `${opening}: tensor "${name}" is missing; config.json asks for it with shape [${shape}]; ${this.#whyAbsent(name)}`,
      );
    if (!isReadable(entry))
      throw new ModelFileError(
        `${opening}: tensor ${printValue(entry.name)} is stored as ${entry.fileDtype}; supported are BF16, ` +
          `F16 and F32; ${this.#adviceFor(entry.fileDtype)}`,
      );
    if (entry.shape.length !== shape.length || entry.shape.some((size, i) => size !== shape[i]))
      throw new ModelFileError(
        `${opening}: tensor ${printValue(entry.name)} of ${entry.source.name} has shape [${entry.shape}], ` +
          `but config.json asks for [${shape}]`,
      );
    return entry;
  }

  #whyAbsent(name: string): string {
    const file = spellingsOf(name)
      .map((spelling) => this.#promised.get(spelling))
      .find((found) => found !== undefined);
    if (file !== undefined)
      return (
        `the index says it is in ${file}, but it is not; the files belong to different versions, download all of them ` +
        "again"
      );
    const quantizer = quantizerOf(this.#tensors.keys());
    if (quantizer !== undefined)
      return `the names of the tensors are those of ${quantizer}: take the checkpoint before quantisation, in BF16, F16 or F32`;
    for (const other of this.#tensors.keys())
      if (/lora_[AB]\b/.test(other))
        return `${printValue(other)} is of an adapter (LoRA): merge it into its base model, or take the base model`;
    return "config and weights belong to different models or versions";
  }

  #adviceFor(fileDtype: string): string {
    if (fileDtype === "F64") return "convert it with transformers";
    const quantizer = quantizerOf(this.#tensors.keys());
    const by = quantizer === undefined ? "" : ` by ${quantizer}, as the names of its tensors say`;
    return `most likely the checkpoint is quantised${by}: take the one before quantisation`;
  }
}

function isReadable(entry: TensorEntry): entry is ReadableEntry {
  return entry.format !== undefined;
}

/** Rows of a tensor, in the order of the file's rows, and of `rowOrder` if there is one. */
function runOf(entry: TensorEntry, firstRow: number, numRows: number, rowOrder?: RowOrder): RowRun {
  const { rowOrder: inFile } = entry;
  if (!rowOrder && !inFile) return { entry, firstRow, numRows };
  const fileRow = (row: number) => {
    const stored = firstRow + (rowOrder ? rowOrder(row) : row);
    return inFile ? inFile(stored) : stored;
  };
  return { entry, firstRow, numRows, fileRow };
}
