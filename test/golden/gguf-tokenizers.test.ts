import { describe, expect, test } from "vitest";
import { createGgufTokenizer } from "../../src/load/gguf/tokenizer.ts";
import type { Tokenizer } from "../../src/load/tokenizer.ts";
import { place } from "../place/here.ts";

type Metadata = Readonly<Record<string, unknown>>;

interface ByteLevelGolden {
  readonly metadata: Metadata;
  readonly texts: readonly string[];
  /** Ids of the texts for each kind of pre-tokenizer, with the names that llama.cpp gives it. */
  readonly kinds: readonly {
    readonly names: readonly string[];
    readonly addsBos: boolean;
    /** To NFC. */
    readonly normalizes: boolean;
    readonly ids: readonly number[][];
  }[];
}

interface SentencePieceGolden {
  readonly metadata: Metadata;
  /** [text, ids with BOS] */
  readonly encodings: readonly (readonly [string, number[]])[];
  /** [ids, text, text without special tokens] */
  readonly decodings: readonly (readonly [number[], string, string])[];
}

const read = async (name: string) =>
  JSON.parse(await place.readText(`test/golden/gguf-tokenizers/${name}.json`));

function tokenizerOf(metadata: Metadata): Tokenizer {
  const { tokenizer } = createGgufTokenizer(new Map(Object.entries(metadata)), "model.gguf");
  if (!tokenizer) throw new Error("no tokenizer");
  return tokenizer;
}

describe("the pre-tokenizer that a GGUF file names", async () => {
  const { metadata, texts, kinds }: ByteLevelGolden = await read("byte-level");

  test("covers 60 names in 20 kinds that encode differently", () => {
    expect(kinds.flatMap((kind) => kind.names).length).toBeGreaterThan(60);
    expect(new Set(kinds.map(({ ids, addsBos }) => JSON.stringify([ids, addsBos]))).size).toBeGreaterThan(20);
  });

  test.each(kinds.flatMap((kind) => kind.names.map((name) => ({ name, ...kind }))))(
    "$name encodes to the ids of Python's tokenizers, and decodes to the text",
    ({ name, ids, addsBos, normalizes }) => {
      const tokenizer = tokenizerOf({ ...metadata, "tokenizer.ggml.pre": name });
      expect(texts.length).toBeGreaterThan(100);
      for (const [i, text] of texts.entries()) {
        const plain = ids[i] ?? [];
        expect(tokenizer.encode(text, { addSpecialTokens: false }), JSON.stringify(text)).toEqual(plain);
        expect(tokenizer.encode(text)).toEqual(addsBos ? [0, ...plain] : plain);
        expect(tokenizer.decode(plain)).toBe(normalizes ? text.normalize("NFC") : text);
      }
    },
  );
});

describe.each(Object.entries<SentencePieceGolden>(await read("sentence-piece")))(
  "a SentencePiece vocabulary: %s",
  (_, { metadata, encodings, decodings }) => {
    const tokenizer = tokenizerOf(metadata);

    test("encodes to the ids of Python's tokenizers with the merges of transformers", () => {
      expect(encodings.length).toBeGreaterThan(100);
      for (const [text, ids] of encodings) expect(tokenizer.encode(text), JSON.stringify(text)).toEqual(ids);
    });

    test("decodes to the texts of Python's tokenizers, whole and as a stream", () => {
      expect(decodings.length).toBeGreaterThan(150);
      for (const [ids, text, plain] of decodings) {
        expect(tokenizer.decode(ids), `${ids}`).toBe(text);
        expect(tokenizer.decode(ids, { skipSpecialTokens: true }), `${ids}`).toBe(plain);
        const stream = tokenizer.decodeStream();
        expect(ids.map((id) => stream.push(id)).join("") + stream.end()).toBe(text);
      }
    });
  },
);
