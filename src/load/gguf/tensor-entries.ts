import { ModelFileError } from "../../base/errors.ts";
import { printValue } from "../../base/print-value.ts";
import type { JsonObject } from "../json-file.ts";
import type { TensorEntry } from "../tensor-entry.ts";
import type { Architecture } from "./architectures.ts";
import type { GgufTensor } from "./header.ts";
import { huggingFaceName } from "./tensor-names.ts";
import { READ_TYPES } from "./tensor-types.ts";

/** Tensors that the config already contains, or that the engine computes itself. */
const CONSUMED = /^(blk\.\d+\.)?(rope_freqs|rope_factors_long|rope_factors_short|attn_rot_embd)(\.weight)?$/;

/** Sizes that the rows of q, k and v depend on. */
interface HeadSizes {
  readonly numQueryHeads: number;
  readonly numKvHeads: number;
  readonly headDim: number;
}

/** Describes tensors by their names in Hugging Face's spelling. @throws ModelFileError on a type without a decoder */
export function tensorEntries(
  tensors: Iterable<GgufTensor>,
  architecture: Architecture,
  config: JsonObject,
  fileName: string,
): ReadonlyMap<string, TensorEntry> {
  const heads: HeadSizes = {
    numQueryHeads: Number(config.num_attention_heads),
    numKvHeads: Number(config.num_key_value_heads),
    headDim: Number(config.head_dim),
  };
  const entries = new Map<string, TensorEntry>();
  for (const tensor of tensors) {
    if (CONSUMED.test(tensor.name)) continue;
    for (const entry of entriesOf(tensor, architecture, heads)) {
      if (entry.format === undefined && entry.name !== tensor.name) throw undecodable(tensor, fileName);
      if (entries.has(entry.name))
        throw new ModelFileError(
          `reading ${fileName}: two tensors are ${printValue(entry.name)} in Hugging Face's spelling, the second is ` +
            `${printValue(tensor.name)}: take another file of the model`,
        );
      entries.set(entry.name, entry);
    }
  }
  if (entries.has("lm_head.bias"))
    throw new ModelFileError(
      `reading ${fileName}: its output matrix has a bias, which is not supported: take another model`,
    );
  return entries;
}

function undecodable({ name, type }: GgufTensor, fileName: string): ModelFileError {
  return new ModelFileError(
    `reading ${fileName}: tensor ${printValue(name)} is of type ${type.name}, which is not read; types that are read are ` +
      `${READ_TYPES.join(", ")}: take the model's file in Q4_K_M, Q5_K_M, Q6_K or Q8_0`,
  );
}

/** One entry, or those of q, k and v of a fused matrix, which lies row after row. */
function entriesOf(tensor: GgufTensor, architecture: Architecture, heads: HeadSizes): TensorEntry[] {
  const whole = entryOf(tensor, huggingFaceName(tensor.name, architecture.names));
  const fused = /^blk\.(\d+)\.attn_qkv(\.weight|\.bias)$/.exec(tensor.name);
  const { numQueryHeads, numKvHeads, headDim } = heads;
  const [numRows = 0] = tensor.shape;
  const isSplit =
    fused && !architecture.names?.attn_qkv && numRows === (numQueryHeads + 2 * numKvHeads) * headDim;
  if (!isSplit) return [ordered(whole, architecture, heads)];
  const [, layer, ending] = fused;
  const rowBytes = tensor.sizeBytes / numRows;
  const parts = [
    { projection: "q", rows: numQueryHeads * headDim },
    { projection: "k", rows: numKvHeads * headDim },
    { projection: "v", rows: numKvHeads * headDim },
  ];
  let firstRow = 0;
  return parts.map(({ projection, rows }) => {
    const part = {
      ...whole,
      name: `model.layers.${layer}.self_attn.${projection}_proj${ending}`,
      shape: [rows, ...tensor.shape.slice(1)],
      offset: tensor.offset + firstRow * rowBytes,
      sizeBytes: rows * rowBytes,
    };
    firstRow += rows;
    return ordered(part, architecture, heads);
  });
}

function entryOf({ type, shape, source, offset, sizeBytes }: GgufTensor, name: string): TensorEntry {
  return { name, fileDtype: type.name, format: type.format, shape, source, offset, sizeBytes };
}

/** Adds what the architecture does to rows of q and k, and to norms. */
function ordered(entry: TensorEntry, architecture: Architecture, { headDim }: HeadSizes): TensorEntry {
  if (architecture.includesOne && entry.name.endsWith("norm.weight")) return { ...entry, includesOne: true };
  const isQk = /\.self_attn\.[qk]_proj\.(weight|bias)$/.test(entry.name);
  // a shape that is no whole heads is another error, which the check of the weights reports
  if (!architecture.interleavesQk || !isQk || (entry.shape[0] ?? 0) % headDim !== 0) return entry;
  return { ...entry, rowOrder: (row) => interleavedRow(row, headDim) };
}

/**
 * The row of the file that is a row of the matrix. Hugging Face turns rows i and i + h/2 of a head of h as a pair; llama.cpp
 * puts each pair side by side for its own RoPE. Source: `permute` of llama.cpp's conversion/llama.py.
 */
export function interleavedRow(row: number, headDim: number): number {
  const within = row % headDim;
  const half = headDim / 2;
  return row - within + 2 * (within % half) + (within < half ? 0 : 1);
}
