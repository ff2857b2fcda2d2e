/** A whole little model of the Llama architecture as GGUF, in which tests change one thing. */
import { field, type GgufField, type GgufFileContents, type GgufFileTensor, ggufFile } from "./gguf-file.ts";

export const HIDDEN = 8;
export const VOCAB = 6;
/** Rows of q, of k and of v: 2 query heads and 1 kv head of 4. */
export const HEADS = { q: 8, k: 4, v: 4 } as const;
export const MLP = 12;

const METADATA: Readonly<Record<string, GgufField>> = {
  "general.architecture": field.text("llama"),
  "llama.block_count": field.u32(1),
  "llama.context_length": field.u32(64),
  "llama.embedding_length": field.u32(HIDDEN),
  "llama.feed_forward_length": field.u32(MLP),
  "llama.attention.head_count": field.u32(2),
  "llama.attention.head_count_kv": field.u32(1),
  "llama.attention.layer_norm_rms_epsilon": field.f32(1e-5),
  "llama.rope.freq_base": field.f32(500_000),
  "tokenizer.ggml.model": field.text("none"),
};

/** f32 values that are their own index, so that tests see which bytes they get. */
export function f32Tensor(name: string, sizes: readonly number[]): GgufFileTensor {
  const count = sizes.reduce((a, b) => a * b, 1);
  return { name, type: 0, sizes, data: new Uint8Array(Float32Array.from({ length: count }, (_, i) => i).buffer) };
}

export const TENSORS: readonly GgufFileTensor[] = [
  f32Tensor("token_embd.weight", [HIDDEN, VOCAB]),
  f32Tensor("blk.0.attn_norm.weight", [HIDDEN]),
  f32Tensor("blk.0.attn_q.weight", [HIDDEN, HEADS.q]),
  f32Tensor("blk.0.attn_k.weight", [HIDDEN, HEADS.k]),
  f32Tensor("blk.0.attn_v.weight", [HIDDEN, HEADS.v]),
  f32Tensor("blk.0.attn_output.weight", [HEADS.q, HIDDEN]),
  f32Tensor("blk.0.ffn_norm.weight", [HIDDEN]),
  f32Tensor("blk.0.ffn_gate.weight", [HIDDEN, MLP]),
  f32Tensor("blk.0.ffn_up.weight", [HIDDEN, MLP]),
  f32Tensor("blk.0.ffn_down.weight", [MLP, HIDDEN]),
  f32Tensor("output_norm.weight", [HIDDEN]),
];

export interface TinyChanges extends Omit<GgufFileContents, "metadata" | "tensors"> {
  /** Values by key; undefined leaves a key out. Keys without a dot's part of their own are those after `llama.`. */
  readonly metadata?: Readonly<Record<string, GgufField | undefined>>;
  readonly tensors?: readonly GgufFileTensor[];
}

/** Writes the model with changes. */
export function tinyGguf({ metadata = {}, tensors = TENSORS, ...rest }: TinyChanges = {}): Uint8Array<ArrayBuffer> {
  const all = Object.entries({ ...METADATA, ...metadata });
  const fields = all.flatMap(([key, value]) => (value === undefined ? [] : [[key, value] as const]));
  return ggufFile({ ...rest, metadata: fields, tensors });
}
