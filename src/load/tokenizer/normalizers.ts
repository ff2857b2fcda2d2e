/** Normalizers of `tokenizers`, which change a text before it is split. */
import { toByteLetters } from "./bytes.ts";
import type { Fields } from "./fields.ts";
import { compilePattern, literalPattern, type TextPattern } from "./pattern.ts";
import { createPrecompiled } from "./precompiled.ts";

export type Normalizer = (text: string) => string;

/** @throws ModelFileError when the normalizer is unknown. */
export function createNormalizer(fields: Fields): Normalizer {
  switch (fields.text("type")) {
    case "Sequence":
      return inTurn(fields.children("normalizers").map(createNormalizer));
    case "NFC":
    case "NFD":
    case "NFKC":
    case "NFKD": {
      const form = fields.text("type");
      return (text) => text.normalize(form);
    }
    case "Lowercase":
      return lowercase;
    case "Strip":
      return strip(fields.flag("strip_left", true), fields.flag("strip_right", true));
    case "StripAccents":
      return (text) => text.replace(/\p{M}/gu, "");
    case "Prepend": {
      const prefix = fields.text("prepend");
      return (text) => (text === "" ? "" : prefix + text);
    }
    case "Replace":
      return replace(readPattern(fields), fields.text("content"));
    case "ByteLevel":
      return toByteLetters;
    case "Precompiled":
      return createPrecompiled(fields);
    case "Nmt":
      return nmt;
    case "BertNormalizer":
      return bert(fields);
    default:
      return fields.unknownType("normalizer");
  }
}

export function inTurn(steps: readonly Normalizer[]): Normalizer {
  return (text) => steps.reduce((before, step) => step(before), text);
}

/** Reads the `pattern` of a step: a literal text or a regular expression. */
export function readPattern(fields: Fields): TextPattern {
  const pattern = fields.child("pattern") ?? fields.fail("pattern", "an object");
  const regex = pattern.optionalText("Regex");
  return regex === undefined ? literalPattern(pattern.text("String")) : compilePattern(regex, pattern.place);
}

export function replace(pattern: TextPattern, content: string): Normalizer {
  return (text) => {
    let made = "";
    let from = 0;
    for (const [start, end] of pattern.spans(text)) {
      made += text.slice(from, start) + content;
      from = end;
    }
    return made + text.slice(from);
  };
}

/** Lowers character by character as Rust does: a sigma at the end of a word becomes σ, not ς. */
function lowercase(text: string): string {
  return text.includes("Σ") ? Array.from(text, (point) => point.toLowerCase()).join("") : text.toLowerCase();
}

function strip(left: boolean, right: boolean): Normalizer {
  return (text) => {
    const isSpace = (unit: string | undefined) => unit !== undefined && /\p{White_Space}/u.test(unit);
    let start = 0;
    let end = text.length;
    while (left && start < end && isSpace(text[start])) start++;
    while (right && end > start && isSpace(text[end - 1])) end--;
    return text.slice(start, end);
  };
}

/** Characters that SentencePiece's nmt rule drops, and those that it replaces by a space. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: the rule drops control characters
const NMT_DROPPED = /[\u0001-\u0008\u000b\u000e-\u001f\u007f\u008f\u009f]/gu;
const NMT_SPACES = /[\t\n\f\r\u1680\u200b-\u200f\u2028\u2029\u2581\ufeff\ufffd]/gu;

const nmt: Normalizer = (text) => text.replace(NMT_DROPPED, "").replace(NMT_SPACES, " ");

const CHINESE =
  /[\u4e00-\u9fff\u3400-\u4dbf\u{20000}-\u{2a6df}\u{2a700}-\u{2b73f}\u{2b740}-\u{2b81f}\u{2b920}-\u{2ceaf}\uf900-\ufaff\u{2f800}-\u{2fa1f}]/gu;

function bert(fields: Fields): Normalizer {
  const lowers = fields.flag("lowercase", true);
  const steps: Normalizer[] = [];
  if (fields.flag("clean_text", true))
    steps.push((text) =>
      text.replace(/(?![\t\n\r])[\p{Cc}\p{Cf}\p{Co}\p{Cs}]|\ufffd/gu, "").replace(/\p{White_Space}/gu, " "),
    );
  if (fields.flag("handle_chinese_chars", true)) steps.push((text) => text.replace(CHINESE, " $& "));
  if (fields.flag("strip_accents", lowers))
    steps.push((text) => text.normalize("NFD").replace(/\p{Mn}/gu, ""));
  if (lowers) steps.push(lowercase);
  return inTurn(steps);
}
