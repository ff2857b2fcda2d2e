import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ModelFileError } from "../base/errors.ts";
import { createTokenizer } from "./tokenizer.ts";

interface Golden {
  readonly encodings: readonly { text: string; ids: number[]; plainIds: number[] }[];
  readonly decodings: readonly { ids: number[]; text: string; plainText: string }[];
  readonly tokenizer?: Record<string, unknown>;
}

const root = new URL("../../", import.meta.url);
const readJson = (path: string) => JSON.parse(readFileSync(new URL(path, root), "utf8"));
const picoJson = readJson("models/pico-reasoner/tokenizer.json");

describe.each(["pico-reasoner", "qwen-kind", "llama3-kind", "sentence-piece-kind"])("%s", (kind) => {
  const golden: Golden = readJson(`test/golden/tokenizers/${kind}.json`);
  const tokenizer = createTokenizer(golden.tokenizer ?? picoJson, {}, "tokenizer.json");

  test("encodes as Python tokenizers, with and without special tokens", () => {
    for (const { text, ids, plainIds } of golden.encodings) {
      expect(tokenizer.encode(text), JSON.stringify(text)).toEqual(ids);
      expect(tokenizer.encode(text, { addSpecialTokens: false }), JSON.stringify(text)).toEqual(plainIds);
    }
  });

  test("decodes as Python tokenizers: partial UTF-8, unknown ids, special tokens kept and skipped", () => {
    // of a damaged run of byte tokens, Python makes one U+FFFD a byte and the library one a damaged character; the
    // library also drops a byte-order mark there
    const isByteFallback = kind === "sentence-piece-kind";
    const same = golden.decodings.filter(({ text }) => !isByteFallback || !/[\ufffd\ufeff]/.test(text));
    expect(same.length).toBeGreaterThan(isByteFallback ? 400 : 500);
    for (const { ids, text, plainText } of same) {
      expect(tokenizer.decode(ids), `${ids}`).toBe(text);
      expect(tokenizer.decode(Uint32Array.from(ids), { skipSpecialTokens: true }), `${ids}`).toBe(plainText);
    }
  });
});

describe("texts come back", () => {
  const tokenizer = createTokenizer(picoJson, {}, "tokenizer.json");

  test("decode(encode(text)) is text", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme" }), (text) => {
        expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
      }),
    );
  });

  test("token and tokenId are inverse; unknown ones are undefined", () => {
    for (let id = 0; id < 512; id++) {
      const token = tokenizer.token(id);
      if (token !== undefined) expect(tokenizer.tokenId(token)).toBe(id);
    }
    expect(tokenizer.tokenId("<think>")).toBe(510);
    expect(tokenizer.tokenId("no such token")).toBeUndefined();
    expect(tokenizer.token(512)).toBeUndefined();
    expect(tokenizer.decode([])).toBe("");
  });

  test("white space is cleaned up only where the checkpoint asks for it", () => {
    const text = "do not , clean this !";
    const ids = tokenizer.encode(text);
    expect(tokenizer.decode(ids)).toBe(text);
    for (const [value, expected] of [
      [false, text],
      [null, text],
      [true, "do not, clean this!"],
    ] as const) {
      const config = { clean_up_tokenization_spaces: value };
      expect(createTokenizer(picoJson, config, "tokenizer.json").decode(ids)).toBe(expected);
    }
  });
});

test.each([
  ["an empty object", {}],
  ["no model", { ...picoJson, model: null }],
  ["an unknown model", { ...picoJson, model: { type: "Magic" } }],
  ["a vocabulary of the wrong kind", { ...picoJson, model: { ...picoJson.model, vocab: 7 } }],
  ["merges of the wrong kind", { ...picoJson, model: { ...picoJson.model, merges: "ab" } }],
  ["an unknown pre-tokenizer", { ...picoJson, pre_tokenizer: { type: "Magic" } }],
  ["an unknown decoder", { ...picoJson, decoder: { type: "Magic" } }],
  ["added tokens of the wrong kind", { ...picoJson, added_tokens: 1 }],
])("%s is a ModelFileError that names the file", (_, json) => {
  const create = () => createTokenizer(json, {}, "folder/tokenizer.json");
  expect(create).toThrow(ModelFileError);
  expect(create).toThrow("folder/tokenizer.json");
});
