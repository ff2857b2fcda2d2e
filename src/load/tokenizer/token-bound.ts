import type { AddedToken } from "./added-tokens.ts";
import { BYTE_LETTERS, toByteLetters } from "./bytes.ts";
import type { Normalizer } from "./normalizers.ts";
import type { TokenModel } from "./token-model.ts";

/** Characters that may be lost between a text and its tokens. */
export interface Losses {
  /** Tokens consist of byte letters. */
  readonly isByteLevel: boolean;
  readonly dropsSpace: boolean;
  /** The pre-tokenizer's replacement for a space. */
  readonly space: string;
  /** A pre-tokenizer drops the matches of a pattern. */
  readonly dropsMatches: boolean;
}

const UNITS = 0x10000;

/**
 * Creates a function that returns a lower bound on the number of tokens of a normalised text. A character costs
 * 1 / (length of the longest token that contains it), so the costs of a token's characters sum to at most 1.
 * A character that may be dropped, or fused with others into one unknown token, costs 0.
 */
export function createTokenBound(
  model: TokenModel,
  added: readonly AddedToken[],
  normalize: Normalizer | undefined,
  losses: Losses,
): (text: string) => number {
  if (losses.dropsMatches || model.kind === "WordPiece" || model.kind === "WordLevel") return () => 0;
  const longest = longestByUnit(model, added, normalize);
  const weights = new Float64Array(UNITS).fill(-1);
  const letterWeight = (letter: string): number =>
    model.covers(letter) ? 1 / Math.max(1, longest[letter.charCodeAt(0)] ?? 1) : 0;
  const textWeight = (text: string): number => {
    const letters = Array.from(losses.isByteLevel ? toByteLetters(text) : text, letterWeight);
    return letters.includes(0) ? 0 : letters.reduce((sum, weight) => sum + weight, 0);
  };
  const cheapestContinuation = Math.min(
    ...CONTINUATION_BYTES.map((byte) => letterWeight(BYTE_LETTERS[byte] ?? "")),
  );
  const surrogateWeight = (unit: number): number => {
    if (!losses.isByteLevel) return letterWeight(String.fromCharCode(unit));
    const isFirst = unit < 0xdc00;
    const pair = isFirst ? String.fromCharCode(unit, 0xdc00) : String.fromCharCode(0xd800, unit);
    const letters = Array.from(toByteLetters(pair), letterWeight);
    const [one = 0, other = 0] = isFirst ? letters : [letters[3], cheapestContinuation];
    return one * other === 0 ? 0 : Math.min(one + other, textWeight("\ufffd")); // the encoder reads a lone surrogate as U+FFFD
  };
  const weightOf = (unit: number): number => {
    if (unit >= 0xd800 && unit < 0xe000) return surrogateWeight(unit);
    const text = String.fromCharCode(unit);
    if (losses.dropsSpace && /[\s\u0085]/u.test(text)) return 0;
    return textWeight(text === " " ? losses.space : text);
  };
  return (text) => {
    let sum = 0;
    for (let i = 0; i < text.length; i++) {
      const unit = text.charCodeAt(i);
      if (weights[unit] === -1) weights[unit] = weightOf(unit);
      sum += weights[unit] ?? 0;
    }
    return Math.ceil(sum * (1 - 1e-9));
  };
}

/**
 * The values of a UTF-8 continuation byte. A code point beyond U+FFFF has two UTF-16 units and four bytes: the first unit
 * determines the first two bytes and the second unit the last. The third byte costs as little as any continuation byte.
 */
const CONTINUATION_BYTES = Array.from({ length: 64 }, (_, i) => 0x80 + i);

/** Returns, for each UTF-16 unit, the length of the longest token that contains it. */
function longestByUnit(
  model: TokenModel,
  added: readonly AddedToken[],
  normalize: Normalizer | undefined,
): Uint32Array {
  const longest = new Uint32Array(UNITS);
  const count = (text: string) => {
    for (let i = 0; i < text.length; i++) {
      const unit = text.charCodeAt(i);
      if (text.length > (longest[unit] ?? 0)) longest[unit] = text.length;
    }
  };
  for (const token of model.vocabulary.keys()) count(token);
  for (const { content } of added)
    for (const text of [content, normalize?.(content) ?? content, toByteLetters(content)]) count(text);
  return longest;
}
