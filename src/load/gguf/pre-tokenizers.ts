/**
 * The pre-tokenizers that `tokenizer.ggml.pre` names. A name stands for the steps of the published tokenizer.json files from
 * which llama.cpp's converter derives it, so that a GGUF file encodes as its Hugging Face folder does.
 */
import { ModelFileError } from "../../base/errors.ts";
import { printValue } from "../../base/print-value.ts";
import type { JsonObject } from "../json-file.ts";
import { PUBLISHED_PATTERNS } from "../tokenizer/published-patterns.ts";

/** Steps and flags of a byte-level BPE tokenizer, in the spelling of tokenizer.json. */
export interface PreTokenizerKind {
  readonly preTokenizer: JsonObject;
  /** NFC where the published tokenizers have it. llama.cpp normalises no text. */
  readonly normalizer?: JsonObject;
  /** A piece that is a token stays whole, even if no merges lead to it. */
  readonly ignoresMerges?: true;
  /** Texts begin with BOS when the file does not say. */
  readonly addsBos?: true;
}

const NFC: JsonObject = { type: "NFC" };

const split = (pattern: string): JsonObject => ({
  type: "Split",
  pattern: { Regex: pattern },
  behavior: "Isolated",
  invert: false,
});
const digits = (each: boolean): JsonObject => ({ type: "Digits", individual_digits: each });
const byteLevel = (splits: boolean): JsonObject => ({
  type: "ByteLevel",
  add_prefix_space: false,
  trim_offsets: true,
  use_regex: splits,
});
const inTurn = (...pretokenizers: readonly JsonObject[]): JsonObject => ({
  type: "Sequence",
  pretokenizers,
});
/** Splits by patterns, then spells bytes as letters. */
const byPatterns = (...patterns: readonly string[]): JsonObject =>
  inTurn(...patterns.map(split), byteLevel(false));

const { llama3, qwen2, qwen35, o200k, tekken, deepSeek3 } = PUBLISHED_PATTERNS;
const GPT2: PreTokenizerKind = { preTokenizer: byteLevel(true) };
const NEOX: PreTokenizerKind = { ...GPT2, normalizer: NFC };
const DIGITS: PreTokenizerKind = { preTokenizer: inTurn(digits(true), byteLevel(true)) };
const LLAMA3: PreTokenizerKind = { preTokenizer: byPatterns(llama3), ignoresMerges: true, addsBos: true };
const CL100K: PreTokenizerKind = { preTokenizer: byPatterns(llama3) };
const QWEN2: PreTokenizerKind = { preTokenizer: byPatterns(qwen2), normalizer: NFC };
const QWEN2_PLAIN: PreTokenizerKind = { preTokenizer: byPatterns(qwen2) };
const O200K: PreTokenizerKind = { preTokenizer: byPatterns(o200k) };
const DEEPSEEK3: PreTokenizerKind = {
  preTokenizer: byPatterns("\\p{N}{1,3}", "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+", deepSeek3),
};
const BAILING: PreTokenizerKind = {
  preTokenizer: byPatterns(
    "'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+",
  ),
};
const WHOLE_CL100K: PreTokenizerKind = { ...CL100K, ignoresMerges: true };
const BLOOM_WORDS = " ?[^(\\s|[.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c])]+";
const BLOOM: PreTokenizerKind = { preTokenizer: byPatterns(BLOOM_WORDS) };

/** Letters of scripts with two cases, as DeepSeek LLM's file lists them. */
const CASED_LETTERS =
  "A-Za-z\u00b5\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u01ba\u01bc-\u01bf\u01c4-\u0293\u0295-\u02af\u0370-\u0373\u0376\u0377\u037b-\u037d\u037f\u0386\u0388-\u038a\u038c\u038e-\u03a1\u03a3-\u03f5\u03f7-\u0481\u048a-\u052f\u0531-\u0556\u10a0-\u10c5\u13a0-\u13f5\u13f8-\u13fd\u1c90-\u1cba\u1cbd-\u1cbf\u1d00-\u1d2b\u1d6b-\u1d77\u1d79-\u1d9a\u1e00-\u1f15\u1f18-\u1f1d\u1f20-\u1f45\u1f48-\u1f4d\u1f50-\u1f57\u1f59\u1f5b\u1f5d\u1f5f-\u1f7d\u1f80-\u1fb4\u1fb6-\u1fbc\u1fbe\u1fc2-\u1fc4\u1fc6-\u1fcc\u1fd0-\u1fd3\u1fd6-\u1fdb\u1fe0-\u1fec\u1ff2-\u1ff4\u1ff6-\u1ffc\u2102\u2107\u210a-\u2113\u2115\u2119-\u211d\u2124\u2126\u2128\u212a-\u212d\u212f-\u2134\u2139\u213c-\u213f\u2145-\u2149\u214e\u2183\u2184\u2c00-\u2c7b\u2c7e-\u2ce4\u2ceb-\u2cee\u2cf2\u2cf3\ua640-\ua66d\ua680-\ua69b\ua722-\ua76f\ua771-\ua787\ua78b-\ua78e\uab70-\uabbf\ufb00-\ufb06\ufb13-\ufb17\uff21-\uff3a\uff41-\uff5a\u{10400}-\u{1044f}\u{104b0}-\u{104d3}\u{104d8}-\u{104fb}\u{10c80}-\u{10cb2}\u{10cc0}-\u{10cf2}\u{118a0}-\u{118df}\u{1e900}-\u{1e943}";
const EAST_ASIAN = "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+";

/** llama.cpp's rule for files without a name; no published tokenizer has it. */
const DEFAULT: PreTokenizerKind = {
  preTokenizer: inTurn(
    split("[\\p{P}\\$\\+<=>\\^~\\|]+"),
    split(PUBLISHED_PATTERNS.gpt2),
    digits(false),
    split("[0-9][0-9][0-9]"),
    byteLevel(false),
  ),
};

const KINDS: Readonly<Record<string, PreTokenizerKind>> = {
  default: DEFAULT,
  // Llama 3 and its relatives
  "llama-bpe": LLAMA3,
  llama3: LLAMA3,
  "llama-v3": LLAMA3,
  falcon3: LLAMA3,
  "falcon-h1": LLAMA3,
  pixtral: LLAMA3,
  "midm-2.0": LLAMA3,
  lfm2: LLAMA3,
  "jina-v5-nano": LLAMA3,
  "smaug-bpe": WHOLE_CL100K, // SmolLM3, too: Llama 3's vocabulary, in which no merges lead to 588 tokens
  dbrx: CL100K,
  "chatglm-bpe": CL100K,
  glm4: WHOLE_CL100K,
  glm5: WHOLE_CL100K,
  minicpm5: {
    preTokenizer: byPatterns("\\p{N}{1,3}", llama3.replace("\\p{N}{1,3}", "\\p{N}+")),
    ignoresMerges: true,
  },
  // Qwen and its relatives
  qwen2: QWEN2,
  "deepseek-r1-qwen": QWEN2,
  megrez: QWEN2,
  kormo: QWEN2,
  f2llmv2: QWEN2,
  qwen35: { preTokenizer: byPatterns(qwen35), normalizer: NFC },
  stablelm2: QWEN2_PLAIN,
  hunyuan: QWEN2_PLAIN,
  "solar-open": QWEN2_PLAIN,
  "grok-2": QWEN2_PLAIN,
  ufakzeka: { preTokenizer: byPatterns(qwen2.slice(qwen2.indexOf(")|") + 2)) }, // without English endings
  "seed-coder": {
    preTokenizer: byPatterns(qwen2.replace("[^\\s\\p{L}\\p{N}]+[\\r\\n]*", "[^\\s\\p{L}\\p{N}\\r\\n]+")),
  },
  bailingmoe: BAILING,
  bailingmoe2: BAILING,
  "llada-moe": BAILING,
  // GPT-4o, Phi-4-mini, Llama 4
  "gpt-4o": O200K,
  llama4: O200K,
  kanana2: O200K,
  talkie: O200K,
  "minimax-m2": O200K,
  // Mistral
  tekken: { preTokenizer: byPatterns(tekken), ignoresMerges: true, addsBos: true },
  // DeepSeek
  "deepseek-v3": DEEPSEEK3,
  "hunyuan-dense": DEEPSEEK3,
  hy_v4: DEEPSEEK3,
  "joyai-llm": DEEPSEEK3,
  "deepseek-llm": {
    preTokenizer: inTurn(
      split("[\\r\\n]"),
      split(`\\s?[${CASED_LETTERS}]+`),
      split("\\s?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+"),
      split("\\s+$"),
      split(EAST_ASIAN),
      digits(false),
      byteLevel(false),
    ),
  },
  "deepseek-coder": {
    preTokenizer: inTurn(
      split("[\\r\\n]"),
      split("\\s?\\p{L}+"),
      split("\\s?\\p{P}+"),
      split(EAST_ASIAN),
      digits(true),
      byteLevel(false),
    ),
  },
  // GPT-2 with digits one by one
  smollm: DIGITS,
  starcoder: DIGITS,
  refact: DIGITS,
  codeshell: DIGITS,
  exaone: DIGITS,
  "minerva-7b": DIGITS,
  mellum2: DIGITS,
  "command-r": { ...DIGITS, normalizer: NFC },
  // GPT-2
  "gpt-2": GPT2,
  "phi-2": GPT2,
  jais: GPT2,
  gigachat: GPT2,
  trillion: GPT2,
  "granite-docling": GPT2,
  "a.x-4.0": GPT2,
  mellum: GPT2,
  exaone4: GPT2,
  mpt: NEOX,
  olmo: NEOX,
  "modern-bert": NEOX,
  falcon: {
    preTokenizer: inTurn(
      { type: "Punctuation", behavior: "Contiguous" },
      byteLevel(true),
      digits(false),
      split("[0-9][0-9][0-9]"),
    ),
  },
  // Bloom
  bloom: BLOOM,
  "poro-chat": BLOOM,
  "gpt3-finnish": BLOOM,
  viking: { preTokenizer: inTurn(split(BLOOM_WORDS), digits(true), byteLevel(false)) },
};

/**
 * Looks up the pre-tokenizer of a byte-level vocabulary.
 * @throws ModelFileError naming the known ones when the name is unknown
 */
export function preTokenizerKind(name: string, fileName: string): PreTokenizerKind {
  const kind = Object.hasOwn(KINDS, name) ? KINDS[name] : undefined;
  if (kind) return kind;
  throw new ModelFileError(
    `reading ${fileName}: the pre-tokenizer ${printValue(name)} of its vocabulary is not supported, so texts would get the ` +
      `wrong tokens; take a file whose tokenizer.ggml.pre is one of ${Object.keys(KINDS).join(", ")}`,
  );
}
