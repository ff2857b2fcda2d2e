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
    expect(golden.decodings.length).toBeGreaterThan(500);
    for (const { ids, text, plainText } of golden.decodings) {
      expect(tokenizer.decode(ids), `${ids}`).toBe(text);
      expect(tokenizer.decode(Uint32Array.from(ids), { skipSpecialTokens: true }), `${ids}`).toBe(plainText);
    }
  });
});

describe("round trips", () => {
  const tokenizer = createTokenizer(picoJson, {}, "tokenizer.json");

  test("decode(encode(text)) is text", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme" }), (text) => {
        expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
      }),
    );
  });

  test("token and tokenId are inverse; both return undefined for unknown tokens", () => {
    for (let id = 0; id < 512; id++) {
      const token = tokenizer.token(id);
      if (token !== undefined) expect(tokenizer.tokenId(token)).toBe(id);
    }
    expect(tokenizer.tokenId("<think>")).toBe(510);
    expect(tokenizer.tokenId("no such token")).toBeUndefined();
    expect(tokenizer.token(512)).toBeUndefined();
    expect(tokenizer.decode([])).toBe("");
  });

  test("BPE tokenizers clean up only by the config key that warns of it", () => {
    const text = "echo 'some text' !== b , do not !";
    const ids = tokenizer.encode(text);
    const decode = (config: Record<string, unknown>) =>
      createTokenizer(picoJson, config, "tokenizer.json").decode(ids);
    for (const value of [true, false, null])
      expect(decode({ clean_up_tokenization_spaces: value })).toBe(text);
    const insists = { clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output: true };
    expect(decode({ ...insists, clean_up_tokenization_spaces: true })).toBe("echo'some text'!== b, do not!");
  });

  test("lone surrogates, which Python refuses, become U+FFFD", () => {
    expect(tokenizer.decode(tokenizer.encode("a\ud800b\udc00"))).toBe("a\ufffdb\ufffd");
  });
});

function withVocabulary(more: Record<string, unknown>): Record<string, unknown> {
  return { ...picoJson, model: { ...picoJson.model, vocab: { ...picoJson.model.vocab, ...more } } };
}

function nested(depth: number): unknown {
  return depth === 0 ? { type: "NFC" } : { type: "Sequence", normalizers: [nested(depth - 1)] };
}

function splitAt(pattern: string): unknown {
  return { type: "Split", pattern: { Regex: pattern }, behavior: "Isolated", invert: false };
}

test.each([
  ["an empty object", {}],
  ["no model", { ...picoJson, model: null }],
  ["an unknown model", { ...picoJson, model: { type: "Magic" } }],
  ["a vocabulary of the wrong kind", { ...picoJson, model: { ...picoJson.model, vocab: 7 } }],
  ["merges of the wrong kind", { ...picoJson, model: { ...picoJson.model, merges: "ab" } }],
  ["an unknown pre-tokenizer", { ...picoJson, pre_tokenizer: { type: "Magic" } }],
  ["an unknown decoder", { ...picoJson, decoder: { type: "Magic" } }],
  ["added tokens of the wrong kind", { ...picoJson, added_tokens: 1 }],
  ["an added token of null", { ...picoJson, added_tokens: [null] }],
  ["an added token with an id of 2^31", { ...picoJson, added_tokens: [{ content: "x", id: 2 ** 31 }] }],
  ["an id of 2^31", withVocabulary({ zzz: 2 ** 31 })],
  ["a negative id", withVocabulary({ zzz: -1 })],
  ["an id of 1.5", withVocabulary({ zzz: 1.5 })],
  ["an id that is a text", withVocabulary({ zzz: "7" })],
  ["an empty vocabulary", { ...picoJson, model: { type: "BPE", vocab: {}, merges: [] } }],
  ["a merge of three", { ...picoJson, model: { ...picoJson.model, merges: ["a b c"] } }],
  ["a merge of unknown tokens", { ...picoJson, model: { ...picoJson.model, merges: [["q\u4e00", "b"]] } }],
  ["steps nested 50 deep", { ...picoJson, normalizer: nested(50) }],
  [
    "a hundred thousand steps",
    { ...picoJson, normalizer: { type: "Sequence", normalizers: Array(1e5).fill({ type: "NFC" }) } },
  ],
  ["an invalid pattern", { ...picoJson, pre_tokenizer: splitAt("(") }],
  ["a pattern with a back reference", { ...picoJson, pre_tokenizer: splitAt("(a)\\1") }],
  ["a pattern that counts to a million", { ...picoJson, pre_tokenizer: splitAt("a{1000000}") }],
  ["a pattern with nested counts", { ...picoJson, pre_tokenizer: splitAt("((a{1000}){1000}){1000}") }],
  [
    "a pattern with a thousand parentheses",
    { ...picoJson, pre_tokenizer: splitAt(`${"(".repeat(1000)}${")".repeat(1000)}`) },
  ],
  [
    "a template without its token",
    {
      ...picoJson,
      post_processor: {
        type: "TemplateProcessing",
        single: [{ SpecialToken: { id: "x" } }],
        special_tokens: {},
      },
    },
  ],
  ["scores that are texts", { ...picoJson, model: { type: "Unigram", vocab: [["a", "b"]] } }],
])("%s: a ModelFileError that names the file", (_, json) => {
  const create = () => createTokenizer(json, {}, "folder/tokenizer.json");
  expect(create).toThrow(ModelFileError);
  expect(create).toThrow("folder/tokenizer.json");
});

describe("limits of a hostile file or text", () => {
  /** Fails if `run` takes more than linear time: quadratic work would take minutes. */
  function within(limitMs: number, run: () => void): void {
    const start = performance.now();
    run();
    expect(performance.now() - start).toBeLessThan(limitMs);
  }

  test.each([
    ["(x+x+)+y", "x"],
    ["(?:a|a)*b", "a"],
    ["(?:a*)*b", "a"],
    ["(.*)*=", "q"],
    ["a*b", "a"],
    ["\\s+$", " "],
    ["(a|aa)+$", "a"],
    ["(?=(?:a+)+b)a", "a"],
  ])("the pattern %s matches 60,000 characters within 5 s", (pattern, character) => {
    const json = { ...picoJson, pre_tokenizer: splitAt(pattern) };
    const tokenizer = createTokenizer(json, {}, "tokenizer.json");
    within(5_000, () => tokenizer.encode(`${character.repeat(60_000)}!`));
  });

  test("the step limit stops a pattern that revisits the same positions", () => {
    const tokenizer = createTokenizer(
      { ...picoJson, pre_tokenizer: splitAt("(?>a*)*b") },
      {},
      "tokenizer.json",
    );
    within(5_000, () => expect(() => tokenizer.encode("a".repeat(60_000))).toThrow(ModelFileError));
  });

  test.each([
    ["one word", "a"],
    ["spaces", " "],
    ["line ends", "\n"],
    ["digits", "7"],
    ["emoji", "😀"],
    ["a special token", "<think>"],
    ["half a special token", "<thin"],
  ])("300,000 times %s encode within 10 s", (_, unit) => {
    const tokenizer = createTokenizer(picoJson, {}, "tokenizer.json");
    within(10_000, () => tokenizer.encode(unit.repeat(300_000)));
  });

  test("a stream of 300,000 invalid bytes decodes within 5 s", () => {
    for (const kind of ["sentence-piece-kind", "qwen-kind"]) {
      const tokenizer = createTokenizer(readJson(`test/golden/tokenizers/${kind}.json`).tokenizer, {}, kind);
      const lone = tokenizer.tokenId("<0xE2>") ?? tokenizer.tokenId("â") ?? 0;
      const stream = tokenizer.decodeStream();
      within(5_000, () => {
        let text = "";
        for (let i = 0; i < 300_000; i++) text += stream.push(lone);
        expect(text + stream.end()).toBe("\ufffd".repeat(300_000));
      });
    }
  });

  test("minTokens bounds ten million characters within 2 s", () => {
    const tokenizer = createTokenizer(picoJson, {}, "tokenizer.json");
    within(2_000, () =>
      expect(tokenizer.minTokens("a long story. ".repeat(714_286))).toBeGreaterThan(100_000),
    );
    expect(tokenizer.minTokens("")).toBe(0);
    expect(tokenizer.minTokens("a")).toBe(1);
  });

  test("a damaged file is a ModelFileError or creates a working tokenizer", () => {
    const paths = pathsOf(readJson("test/golden/tokenizers/llama3-kind.json").tokenizer, 4);
    const values = fc.oneof(
      fc.jsonValue(),
      fc.constantFrom(
        2 ** 31,
        -1,
        1e308,
        "\ud800",
        "(a+)+b",
        [],
        {},
        null,
        true,
        ["a", "b"],
        "Sequence",
        "Metaspace",
      ),
    );
    fc.assert(
      fc.property(fc.constantFrom(...paths), values, (path, value) => {
        const json = structuredClone(readJson("test/golden/tokenizers/llama3-kind.json").tokenizer);
        setAt(json, path, value);
        try {
          const tokenizer = createTokenizer(json, {}, "tokenizer.json");
          const ids = tokenizer.encode("a text <think> 12\n");
          expect(typeof tokenizer.decode(ids)).toBe("string");
        } catch (error) {
          expect(error).toBeInstanceOf(ModelFileError);
        }
      }),
      { numRuns: 150 },
    );
  });
});

/** Lists the paths to the values of a JSON value; of each object or list only the first 12 entries. */
function pathsOf(value: unknown, depth: number): string[][] {
  if (depth === 0 || typeof value !== "object" || value === null) return [[]];
  return Object.entries(value)
    .slice(0, 12)
    .flatMap(([key, inner]) => [[key], ...pathsOf(inner, depth - 1).map((path) => [key, ...path])]);
}

function setAt(json: Record<string, unknown>, path: readonly string[], value: unknown): void {
  let at: Record<string, unknown> = json;
  for (const key of path.slice(0, -1)) at = at[key] as Record<string, unknown>;
  at[path.at(-1) ?? ""] = value;
}
