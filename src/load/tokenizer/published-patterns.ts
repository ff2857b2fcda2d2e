/** Patterns by which published byte-level tokenizers split texts, as their files spell them. */

const WORD_OF_CASES =
  "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+";
const WORD_OF_CAPITALS =
  "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*";
const ENGLISH = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
const SPACES = "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
const signs = (ends: string) => ` ?[^\\s\\p{L}\\p{N}]+${ends}`;
const words = (digits: string) =>
  `${ENGLISH}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|${digits}|${signs("[\\r\\n]*")}|${SPACES}`;

export const PUBLISHED_PATTERNS = {
  /** GPT-2 and what followed it: SmolLM, StarCoder, Falcon, GPT-NeoX, OLMo. */
  gpt2: "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
  gpt2Short: "'(?:[sdmt]|ll|ve|re)| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
  /** Llama 3, Granite, SmolLM3, Phi-4, GLM-4, Command-R, cl100k. */
  llama3: words("\\p{N}{1,3}"),
  /** Qwen2, Qwen2.5, Qwen3. */
  qwen2: words("\\p{N}"),
  /** Qwen3.5: marks belong to words. */
  qwen35: words("\\p{N}")
    .replace("\\p{L}+", "[\\p{L}\\p{M}]+")
    .replace("[^\\s\\p{L}\\p{N}]", "[^\\s\\p{L}\\p{M}\\p{N}]"),
  /** gpt-oss, Phi-4-mini, Llama 4: o200k. */
  o200k: `${WORD_OF_CASES}${ENGLISH}?|${WORD_OF_CAPITALS}${ENGLISH}?|\\p{N}{1,3}|${signs("[\\r\\n/]*")}|${SPACES}`,
  /** Mistral's Tekken. */
  tekken: `${WORD_OF_CASES}|${WORD_OF_CAPITALS}|\\p{N}|${signs("[\\r\\n/]*")}|${SPACES}`,
  phi4: "'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}++|\\p{N}{1,3}+| ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*+|\\s++$|\\s*[\\r\\n]|\\s+(?!\\S)|\\s",
  /** DeepSeek V3 and R1, after their digits and their Chinese and Japanese. */
  deepSeek3:
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
} as const;
