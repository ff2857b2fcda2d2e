/**
 * The pre-tokenizers that `tokenizer.ggml.pre` names. A name stands for the steps of the published tokenizer.json files from
 * which llama.cpp's converter derives it, so that a GGUF file encodes as its Hugging Face folder does.
 */
import { ConfigError } from "../../base/errors.ts";
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
  preTokenizer: byPatterns("\\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+", deepSeek3),
};
const BAILING: PreTokenizerKind = {
  preTokenizer: byPatterns(
    "'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+",
  ),
};
const GLM4: PreTokenizerKind = { ...CL100K, ignoresMerges: true };
const BLOOM_WORDS = " ?[^(\\s|.,!?…。，、।۔،)]+";
const BLOOM: PreTokenizerKind = { preTokenizer: byPatterns(BLOOM_WORDS) };

/** Letters of scripts with two cases, as DeepSeek LLM's file lists them. */
const CASED_LETTERS =
  "A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-ώᾀ-ᾴᾶ-ᾼιῂ-ῄῆ-ῌῐ-ΐῖ-Ίῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤΩℨK-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃";
const EAST_ASIAN = "[一-龥ࠀ-一가-퟿]+";

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
  "smaug-bpe": CL100K,
  dbrx: CL100K,
  "chatglm-bpe": CL100K,
  glm4: GLM4,
  glm5: GLM4,
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
      split("\\s?[!-/:-~！-／：-～‘-‟　-。]+"),
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
 * @throws ConfigError naming the known ones when the name is unknown
 */
export function preTokenizerKind(name: string, fileName: string): PreTokenizerKind {
  const kind = Object.hasOwn(KINDS, name) ? KINDS[name] : undefined;
  if (kind) return kind;
  throw new ConfigError(
    `reading ${fileName}: the pre-tokenizer ${printValue(name)} of its vocabulary is not supported, so texts would get the ` +
      `wrong tokens; take a file whose tokenizer.ggml.pre is one of ${Object.keys(KINDS).join(", ")}`,
  );
}
