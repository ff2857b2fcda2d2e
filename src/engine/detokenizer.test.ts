import fc from "fast-check";
import { expect, test } from "vitest";
import { createTokenizer } from "../load/tokenizer.ts";
import { Detokenizer } from "./detokenizer.ts";

/** Returns the character of a byte in byte-level vocabularies: itself if printable Latin-1, else one from U+0100 on. */
function written(byte: number): string {
  const isPrintable = (b: number) => (b > 0x20 && b < 0x7f) || (b > 0xa0 && b !== 0xad);
  if (isPrintable(byte)) return String.fromCharCode(byte);
  const rank = Array.from({ length: byte }, (_, b) => b).filter((b) => !isPrintable(b)).length;
  return String.fromCharCode(0x100 + rank);
}

/** A token per byte, with the byte as id, and a padding token. */
const BYTES = Array.from({ length: 256 }, (_, byte) => byte);
const PADDING = 300;

const KINDS = {
  "byte level": {
    model: { type: "BPE", vocab: Object.fromEntries(BYTES.map((byte) => [written(byte), byte])), merges: [] },
    decoder: { type: "ByteLevel" },
  },
  "byte fallback": {
    model: {
      type: "BPE",
      vocab: Object.fromEntries(
        BYTES.map((byte) => [`<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`, byte]),
      ),
      merges: [],
      byte_fallback: true,
    },
    decoder: { type: "Sequence", decoders: [{ type: "ByteFallback" }, { type: "Fuse" }] },
  },
};

const open = (kind: keyof typeof KINDS) =>
  new Detokenizer(createTokenizer(KINDS[kind], {}, "tokenizer.json"));
/** Half of a surrogate pair; no piece ends with one. */
const LONE_SURROGATE = /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/;
const bytesOf = (text: string) => [...new TextEncoder().encode(text)];

test.each<[string, readonly number[], readonly string[], string]>([
  ["ASCII, a token each", bytesOf("ab"), ["a", "b"], ""],
  ["a character over two tokens", bytesOf("é"), ["", "é"], ""],
  ["a character over three tokens", bytesOf("x中y"), ["x", "", "", "中", "y"], ""],
  ["a character over four tokens, never half a surrogate pair", bytesOf("😀"), ["", "", "", "😀"], ""],
  ["a token without text inside a character", [0xe4, PADDING, 0xb8, 0xad], ["", "", "", "中"], ""],
  ["tokens without text alone", [PADDING, PADDING], ["", ""], ""],
  ["a character that a letter cuts off", [0xe4, 0xb8, 0x61], ["", "", "\ufffda"], ""],
  ["a character that another cuts off", [0xf0, 0x9f, 0xc3, 0xa9], ["", "", "\ufffd", "é"], ""],
  ["a continuation byte with nothing before it", [0x80, 0x61], ["\ufffd", "a"], ""],
  ["a byte that UTF-8 never has", [0xff, 0x61], ["\ufffd", "a"], ""],
  ["an unfinished character at the end", [0x61, 0xf0, 0x9f, 0x98], ["a", "", "", ""], "\ufffd"],
])("byte level: %s", (_, ids, pieces, rest) => {
  const detokenizer = open("byte level");
  expect(ids.map((id) => detokenizer.push(id))).toEqual(pieces);
  expect(detokenizer.flush()).toBe(rest);
  // the next token begins a new text
  expect(detokenizer.push(0x62) + detokenizer.flush()).toBe("b");
});

test("byte level: the pieces of any bytes are whole characters and join to their UTF-8 decoding", () => {
  // mostly first and continuation bytes of characters
  const byte = fc.oneof(
    fc.integer({ min: 0, max: 255 }),
    fc.constantFrom(0xe4, 0xb8, 0xf0, 0x9f, 0x98, 0xc3, 0x80),
  );
  fc.assert(
    fc.property(fc.array(byte, { maxLength: 24 }), (bytes) => {
      const detokenizer = open("byte level");
      const pieces = [...bytes.map((id) => detokenizer.push(id)), detokenizer.flush()];
      expect(pieces.join("")).toBe(
        new TextDecoder("utf-8", { ignoreBOM: true }).decode(Uint8Array.from(bytes)),
      );
      expect(pieces.filter((piece) => LONE_SURROGATE.test(piece))).toEqual([]);
    }),
    { numRuns: 500 },
  );
});

test("byte fallback: whole characters stay whole for every split into bytes", () => {
  // a replacement character in the text looks like a broken one
  const texts = fc.string({ unit: "grapheme", maxLength: 12 }).filter((drawn) => !drawn.includes("\ufffd"));
  fc.assert(
    fc.property(texts, (text) => {
      const detokenizer = open("byte fallback");
      const pieces = [...bytesOf(text).map((id) => detokenizer.push(id)), detokenizer.flush()];
      expect(pieces.join("")).toBe(text);
      expect(pieces.filter((piece) => LONE_SURROGATE.test(piece) || piece.includes("\ufffd"))).toEqual([]);
    }),
  );
});
