/** A checkpoint that generates a given text: its one layer adds zero, so greedy decoding is a table lookup. */

import type { LoadedEngine } from "../../src/engine/engine-api.ts";
import { openDawn } from "../../src/node/dawn.ts";
import { createWasmHost } from "../../src/node/wasm-host.ts";
import { openEngineWith } from "../../src/open.ts";
import type { EngineOptions } from "../../src/open-options.ts";
import { memoryFolder, safetensorsFile } from "../golden/memory-folder.ts";

const HIDDEN = 64;
/** Chat template of the scripted models. The script continues after `assistant`. */
export const CHAT =
  "{%- for m in messages %}{{- '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{%- endfor %}" +
  "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}";
/** The same with reasoning opened in the generation prompt. */
export const CHAT_THINKING = CHAT.replace("assistant\\n", "assistant\\n<think>\\n");

export interface Script {
  /**
   * The text in pieces of one token; all pieces but the last must differ. The first piece is the last token of the
   * prompt, not part of the output.
   */
  readonly says: readonly string[];
  /** Pieces that are added tokens, such as Qwen's <think>. */
  readonly added?: readonly string[];
  /** Pieces that are special tokens, such as Mistral's [THINK]. */
  readonly special?: readonly string[];
  readonly template?: string;
  readonly generation?: Readonly<Record<string, unknown>>;
  readonly contextLength?: number;
}

const BYTES = bytesToUnicode();
const REGEX =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

/** Opens a model that generates the script, by default on the reference backend. */
export async function openScripted(script: Script, options: EngineOptions = {}): Promise<LoadedEngine> {
  const { tokenizer, idOf, vocabSize, eos } = makeTokenizer(script);
  const ids = script.says.map(idOf);
  const config = {
    architectures: ["LlamaForCausalLM"],
    model_type: "llama",
    hidden_size: HIDDEN,
    intermediate_size: 8,
    num_hidden_layers: 1,
    num_attention_heads: 4,
    num_key_value_heads: 2,
    head_dim: 16,
    vocab_size: vocabSize,
    max_position_embeddings: script.contextLength ?? 256,
    rms_norm_eps: 1e-6,
    rope_theta: 10000,
    hidden_act: "silu",
    tie_word_embeddings: false,
    eos_token_id: eos,
    bos_token_id: null,
  };
  const folder = memoryFolder({
    "config.json": config,
    "generation_config.json": { eos_token_id: eos, ...script.generation },
    "tokenizer.json": tokenizer,
    "tokenizer_config.json": {
      tokenizer_class: "Qwen2Tokenizer",
      eos_token: "<|im_end|>",
      chat_template: script.template ?? CHAT,
    },
    "model.safetensors": weightsOf(ids, vocabSize),
  });
  const host = { folder, wasm: createWasmHost(), openGpu: openDawn };
  return openEngineWith(host, { backend: "reference", ...options });
}

function makeTokenizer({ says, added = [], special = [] }: Script) {
  const vocab: Record<string, number> = {};
  for (const character of BYTES) vocab[character] = Object.keys(vocab).length;
  const merges: string[][] = [];
  const isAdded = (piece: string) =>
    added.includes(piece) || special.includes(piece) || piece === "<|im_end|>";
  for (const piece of says) {
    const spelt = spell(piece);
    if (isAdded(piece)) continue;
    for (let n = 2; n <= spelt.length; n++) {
      const [head, tail] = [spelt.slice(0, n - 1), spelt.slice(n - 1, n)];
      if (spelt.slice(0, n) in vocab) continue;
      vocab[spelt.slice(0, n)] = Object.keys(vocab).length;
      merges.push([head, tail]);
    }
  }
  const size = Object.keys(vocab).length;
  const specials = ["<|im_start|>", "<|im_end|>", ...special, ...added];
  const addedTokens = specials.map((content, i) => ({
    id: size + i,
    content,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
    special: i < 2 + special.length,
  }));
  const idOf = (piece: string): number => {
    const id = addedTokens.find(({ content }) => content === piece)?.id ?? vocab[spell(piece)];
    if (id === undefined) throw new Error(`no token spells ${piece}`);
    return id;
  };
  const tokenizer = {
    version: "1.0",
    added_tokens: addedTokens,
    normalizer: null,
    pre_tokenizer: {
      type: "Sequence",
      pretokenizers: [
        { type: "Split", pattern: { Regex: REGEX }, behavior: "Isolated", invert: false },
        { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false },
      ],
    },
    post_processor: null,
    decoder: { type: "ByteLevel", add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: { type: "BPE", unk_token: null, ignore_merges: true, vocab, merges },
  };
  return { tokenizer, idOf, vocabSize: size + specials.length, eos: idOf("<|im_end|>") };
}

/** Creates weights whose greedy decoding follows the ids: token i embeds to a direction, the output row of i + 1. */
function weightsOf(ids: readonly number[], vocabSize: number): Uint8Array {
  const embedding = new Float32Array(vocabSize * HIDDEN);
  const output = new Float32Array(vocabSize * HIDDEN);
  ids.slice(0, -1).forEach((id, i) => {
    if (i >= HIDDEN) throw new Error(`a script has at most ${HIDDEN} tokens`);
    embedding[id * HIDDEN + i] = 8;
    output[(ids[i + 1] ?? 0) * HIDDEN + i] = 1;
  });
  const layer = "model.layers.0.";
  const ones = () => new Float32Array(HIDDEN).fill(1);
  const tensors: Record<string, [number[], Float32Array]> = {
    "model.embed_tokens.weight": [[vocabSize, HIDDEN], embedding],
    "lm_head.weight": [[vocabSize, HIDDEN], output],
    "model.norm.weight": [[HIDDEN], ones()],
    [`${layer}input_layernorm.weight`]: [[HIDDEN], ones()],
    [`${layer}post_attention_layernorm.weight`]: [[HIDDEN], ones()],
  };
  const zero = (name: string, rows: number, cols: number) => {
    tensors[`${layer}${name}.weight`] = [[rows, cols], new Float32Array(rows * cols)];
  };
  zero("self_attn.q_proj", HIDDEN, HIDDEN);
  zero("self_attn.k_proj", HIDDEN / 2, HIDDEN);
  zero("self_attn.v_proj", HIDDEN / 2, HIDDEN);
  zero("self_attn.o_proj", HIDDEN, HIDDEN);
  zero("mlp.gate_proj", 8, HIDDEN);
  zero("mlp.up_proj", 8, HIDDEN);
  zero("mlp.down_proj", HIDDEN, 8);
  let end = 0;
  const header: Record<string, unknown> = {};
  for (const [name, [shape, values]] of Object.entries(tensors)) {
    header[name] = { dtype: "F32", shape, data_offsets: [end, end + values.byteLength] };
    end += values.byteLength;
  }
  const data = new Uint8Array(end);
  let at = 0;
  for (const [, values] of Object.values(tensors)) {
    data.set(new Uint8Array(values.buffer), at);
    at += values.byteLength;
  }
  return safetensorsFile(header, data);
}

/** Spells a piece in byte letters. */
function spell(piece: string): string {
  return Array.from(new TextEncoder().encode(piece), (byte) => BYTES[byte]).join("");
}

/** Returns GPT-2's printable character of each byte. */
function bytesToUnicode(): readonly string[] {
  const isPrintable = (byte: number) =>
    (byte >= 33 && byte < 127) || (byte >= 161 && byte < 173) || (byte >= 174 && byte < 256);
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => String.fromCodePoint(isPrintable(byte) ? byte : next++));
}
