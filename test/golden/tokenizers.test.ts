import { describe, expect, test } from "vitest";
import { Detokenizer } from "../../src/engine/detokenizer.ts";
import { createTokenizer } from "../../src/load/tokenizer.ts";
import { place } from "../place/here.ts";

interface Golden {
  readonly tokenizer: Readonly<Record<string, unknown>>;
  /** [text, ids, ids without special tokens] */
  readonly encodings: readonly (readonly [string, number[], number[]])[];
  /** [ids, text, text without special tokens] */
  readonly decodings: readonly (readonly [number[], string, string])[];
}

const KINDS = [
  "llama3",
  "qwen",
  "deepseek",
  "tekken",
  "o200k",
  "phi4",
  "gpt2",
  "smollm",
  "falcon",
  "bloom",
  "lossy",
  "added",
  "llama2",
  "mistral",
  "gemma",
  "no-fallback",
  "no-fuse",
  "unigram",
  "word-piece",
  "word-level",
  "clip",
  "prefixed",
];

describe.each(KINDS)("a tokenizer of the kind of %s", async (kind) => {
  const golden: Golden = JSON.parse(await place.readText(`test/golden/tokenizer-kinds/${kind}.json`));
  const tokenizer = createTokenizer(golden.tokenizer, {}, kind);
  const plain = (text: string) => tokenizer.encode(text, { addSpecialTokens: false });

  test("encodes to the ids of Python's tokenizers", () => {
    expect(golden.encodings.length).toBeGreaterThan(200);
    for (const [text, ids, plainIds] of golden.encodings) {
      expect(tokenizer.encode(text), JSON.stringify(text)).toEqual(ids);
      expect(plain(text), JSON.stringify(text)).toEqual(plainIds);
    }
  });

  test("decodes to the texts of Python's tokenizers", () => {
    expect(golden.decodings.length).toBeGreaterThan(300);
    for (const [ids, text, plainText] of golden.decodings) {
      expect(tokenizer.decode(ids), `${ids}`).toBe(text);
      expect(tokenizer.decode(Uint32Array.from(ids), { skipSpecialTokens: true }), `${ids}`).toBe(plainText);
    }
  });

  test("streams pieces that join to the whole text, in streams that follow one another", () => {
    const detokenizer = new Detokenizer(tokenizer);
    for (const [ids, text] of golden.decodings)
      expect(ids.map((id) => detokenizer.push(id)).join("") + detokenizer.flush(), `${ids}`).toBe(text);
  });

  test("bounds the number of tokens from below", () => {
    for (const [text, , plainIds] of golden.encodings)
      expect(tokenizer.minTokens(text), JSON.stringify(text)).toBeLessThanOrEqual(plainIds.length);
  });
});

interface ConfigGolden {
  readonly kind: string;
  readonly config: Readonly<Record<string, unknown>>;
  /** [text, ids without special tokens, ids] */
  readonly encodings: readonly (readonly [string, number[], number[]])[];
  readonly decodings: Golden["decodings"];
}

const configs: readonly ConfigGolden[] = JSON.parse(await place.readText("test/golden/tokenizer-configs.json"));

describe("with a tokenizer_config.json, as AutoTokenizer", () => {
  test.each(configs)("$kind with $config", async ({ kind, config, encodings, decodings }) => {
    const golden: Golden = JSON.parse(await place.readText(`test/golden/tokenizer-kinds/${kind}.json`));
    const tokenizer = createTokenizer(golden.tokenizer, config, kind);
    for (const [text, ids, whole] of encodings) {
      expect(tokenizer.encode(text, { addSpecialTokens: false }), text).toEqual(ids);
      expect(tokenizer.encode(text), text).toEqual(whole);
    }
    for (const [ids, text, plainText] of decodings) {
      expect(tokenizer.decode(ids), `${ids}`).toBe(text);
      expect(tokenizer.decode(ids, { skipSpecialTokens: true }), `${ids}`).toBe(plainText);
      const stream = tokenizer.decodeStream();
      expect(ids.map((id) => stream.push(id)).join("") + stream.end(), `${ids}`).toBe(text);
    }
  });
});
