/** SentencePiece's precompiled character map: a double-array trie from UTF-8 to replacement texts. */
import { ModelFileError } from "../../base/errors.ts";
import type { Fields } from "./fields.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();
/** Graphemes with fewer bytes are looked up whole, as in `tokenizers`. */
const LONG_GRAPHEME_BYTES = 6;

/** @throws ModelFileError when the map is truncated or not base64. */
export function createPrecompiled(fields: Fields): (text: string) => string {
  const base64 = fields.optionalText("precompiled_charsmap") ?? "";
  if (base64 === "") return (text) => text;
  let bytes: Uint8Array;
  try {
    bytes = Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
  } catch (cause) {
    throw new ModelFileError(`reading ${fields.place}: precompiled_charsmap is no base64`, { cause });
  }
  const view = new DataView(bytes.buffer);
  const trieBytes = bytes.length >= 4 ? view.getUint32(0, true) : 0;
  if (trieBytes < 4 || trieBytes % 4 !== 0 || trieBytes + 4 > bytes.length)
    throw new ModelFileError(`reading ${fields.place}: precompiled_charsmap is cut short`);
  const trie = Uint32Array.from({ length: trieBytes / 4 }, (_, i) => view.getUint32(4 + i * 4, true));
  const texts = bytes.subarray(4 + trieBytes);
  const lookUp = (part: string): string | undefined => {
    const at = firstPrefix(trie, encoder.encode(part));
    if (at === undefined) return undefined;
    const end = texts.indexOf(0, at);
    return decoder.decode(texts.subarray(at, end < 0 ? texts.length : end));
  };
  const segmenter = new Intl.Segmenter("en", { granularity: "grapheme" });
  return (text) => {
    let made = "";
    for (const { segment } of segmenter.segment(text)) {
      const whole = encoder.encode(segment).length < LONG_GRAPHEME_BYTES ? lookUp(segment) : undefined;
      if (whole !== undefined) made += whole;
      else for (const point of segment) made += lookUp(point) ?? point;
    }
    return made;
  };
}

const offsetOf = (unit: number): number => (unit >>> 10) << ((unit & 0x200) >>> 6);

/** Returns the value of the shortest key that is a prefix of the bytes (Darts-clone). */
function firstPrefix(trie: Uint32Array, key: Uint8Array): number | undefined {
  let at = offsetOf(trie[0] ?? 0);
  for (const byte of key) {
    if (byte === 0) return undefined;
    at ^= byte;
    const unit = trie[at];
    if (unit === undefined || (unit & 0x800000ff) >>> 0 !== byte) return undefined;
    at ^= offsetOf(unit);
    if (((unit >>> 8) & 1) === 1) return (trie[at] ?? 0) & 0x7fffffff;
  }
  return undefined;
}
