/** Pre-tokenizers of `tokenizers`, which split a text into the pieces that the model encodes independently. */
import { toByteLetters } from "./bytes.ts";
import type { Fields } from "./fields.ts";
import { readPattern } from "./normalizers.ts";
import { compilePattern, literalPattern, type TextPattern } from "./pattern.ts";

/** Splits a text. isFirst: the text begins the whole input. */
export type PreTokenizer = (text: string, isFirst: boolean) => readonly string[];

const BEHAVIOURS = ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"] as const;
type Behaviour = (typeof BEHAVIOURS)[number];

const GPT2 = "'(?:[sdmt]|ll|ve|re)| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
const PUNCTUATION = "[!-\\/:-@\\[-`{-~\\p{P}]";
const SPACE = "\\s";

/** @throws ModelFileError when the pre-tokenizer is unknown. */
export function createPreTokenizer(fields: Fields): PreTokenizer {
  const of = (source: string) => compilePattern(source, fields.place);
  switch (fields.text("type")) {
    case "Sequence":
      return inSequence(fields.children("pretokenizers").map(createPreTokenizer));
    case "Split":
      return splitting(readPattern(fields), behaviour(fields, "Isolated"), fields.flag("invert", false));
    case "ByteLevel":
      return byteLevel(fields);
    case "Metaspace":
      return metaspace(fields);
    case "Digits": // all Unicode numbers, including ½ and Ⅷ
      return splitting(
        of("\\p{N}"),
        fields.flag("individual_digits", false) ? "Isolated" : "Contiguous",
        false,
      );
    case "Punctuation":
      return splitting(of(PUNCTUATION), behaviour(fields, "Isolated"), false);
    case "Whitespace":
      return words;
    case "WhitespaceSplit":
      return splitting(of(SPACE), "Removed", false);
    case "BertPreTokenizer":
      return inSequence([
        splitting(of(SPACE), "Removed", false),
        splitting(of(PUNCTUATION), "Isolated", false),
      ]);
    case "CharDelimiterSplit":
      return (text) => text.split(fields.text("delimiter")).filter((piece) => piece !== "");
    case "FixedLength":
      return fixedLength(fields.count("length", 5, 1e6));
    default:
      return fields.unknownType("pre-tokenizer");
  }
}

function inSequence(steps: readonly PreTokenizer[]): PreTokenizer {
  return (text, isFirst) => {
    let pieces: readonly string[] = [text];
    for (const step of steps) pieces = pieces.flatMap((piece, i) => step(piece, isFirst && i === 0));
    return pieces;
  };
}

function behaviour(fields: Fields, byDefault: Behaviour): Behaviour {
  const name = fields.text("behavior", byDefault);
  const known = BEHAVIOURS.find((one) => one.toLowerCase() === name.replaceAll("_", "").toLowerCase());
  return known ?? fields.fail("behavior", `one of ${BEHAVIOURS.join(", ")}`);
}

/** Splits at the matches of a pattern. isInverted: swaps matches and the text between them. */
function splitting(pattern: TextPattern, how: Behaviour, isInverted: boolean): PreTokenizer {
  return (text) => {
    const parts: { text: string; isMatch: boolean }[] = [];
    const add = (start: number, end: number, isMatch: boolean) => {
      parts.push({ text: text.slice(start, end), isMatch: isMatch !== isInverted });
    };
    let from = 0;
    for (const [start, end] of pattern.spans(text)) {
      if (start > from) add(from, start, false);
      add(start, end, true);
      from = end;
    }
    if (from < text.length) add(from, text.length, false);
    return joined(parts, how).filter((piece) => piece !== "");
  };
}

function joined(parts: readonly { text: string; isMatch: boolean }[], how: Behaviour): readonly string[] {
  if (how === "Isolated") return parts.map((part) => part.text);
  if (how === "Removed") return parts.filter((part) => !part.isMatch).map((part) => part.text);
  const pieces: string[] = [];
  let wasMatch = false;
  const isBackwards = how === "MergedWithNext";
  for (const { text, isMatch } of isBackwards ? parts.toReversed() : parts) {
    const merges = how === "Contiguous" ? isMatch === wasMatch : isMatch && !wasMatch;
    const last = pieces.length - 1;
    if (!merges || last < 0) pieces.push(text);
    else pieces[last] = isBackwards ? text + pieces[last] : pieces[last] + text;
    wasMatch = isMatch;
  }
  return isBackwards ? pieces.reverse() : pieces;
}

function byteLevel(fields: Fields): PreTokenizer {
  const addsSpace = fields.flag("add_prefix_space", true);
  const split = fields.flag("use_regex", true)
    ? splitting(compilePattern(GPT2, fields.place), "Isolated", false)
    : undefined;
  return (text, isFirst) => {
    const whole = addsSpace && text !== "" && !text.startsWith(" ") ? ` ${text}` : text;
    return (split?.(whole, isFirst) ?? [whole]).map(toByteLetters);
  };
}

function metaspace(fields: Fields): PreTokenizer {
  const sign = fields.text("replacement", "▁");
  const scheme = fields.text("prepend_scheme", fields.flag("add_prefix_space", true) ? "always" : "never");
  const splits = fields.flag("split", true);
  const atSign = splitting(literalPattern(sign), "MergedWithNext", false);
  return (text, isFirst) => {
    let signed = text.replaceAll(" ", sign);
    const prepends = scheme === "always" || (scheme === "first" && isFirst);
    if (prepends && !signed.startsWith(sign)) signed = sign + signed;
    return splits ? atSign(signed, isFirst) : [signed];
  };
}

/** Splits into words and runs of signs: `\w+|[^\w\s]+` of Rust's `regex` crate. */
function words(text: string): readonly string[] {
  const word = "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\p{Join_Control}";
  return text.match(new RegExp(`[${word}]+|[^${word}\\p{White_Space}]+`, "gu")) ?? [];
}

function fixedLength(length: number): PreTokenizer {
  return (text) => {
    const points = Array.from(text);
    const size = Math.max(1, length);
    return Array.from({ length: Math.ceil(points.length / size) }, (_, i) =>
      points.slice(i * size, (i + 1) * size).join(""),
    );
  };
}
