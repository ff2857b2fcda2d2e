/** GPT-2's mapping of bytes to letters: printable Latin-1 maps to itself, the other bytes to U+0100 and up. */

const isPrintable = (byte: number): boolean =>
  (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || (byte >= 0xae && byte <= 0xff);

/** Maps a byte to its letter. */
export const BYTE_LETTERS: readonly string[] = (() => {
  let next = 0x100;
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(isPrintable(byte) ? byte : next++));
})();

/** Maps a letter's code to its byte. */
export const LETTER_BYTES: ReadonlyMap<number, number> = new Map(
  BYTE_LETTERS.map((letter, byte) => [letter.charCodeAt(0), byte]),
);

const encoder = new TextEncoder();

/** Encodes a text in UTF-8, one letter a byte. */
export function toByteLetters(text: string): string {
  let isPlain = true;
  for (let i = 0; i < text.length && isPlain; i++) {
    const code = text.charCodeAt(i);
    isPlain = code > 0x20 && code < 0x7f;
  }
  if (isPlain) return text;
  let letters = "";
  for (const byte of encoder.encode(text)) letters += BYTE_LETTERS[byte];
  return letters;
}

/** Spells the token of a byte in a vocabulary with byte fallback. */
export const byteToken = (byte: number): string => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`;
