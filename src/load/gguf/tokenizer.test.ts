import { describe, expect, test } from "vitest";
import { ModelFileError } from "../../base/errors.ts";
import { findReasoningMarkers, THINK_TAGS } from "../reasoning-markers.ts";
import { createGgufTokenizer, type GgufText } from "./tokenizer.ts";

const [NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE] = [1, 2, 3, 4, 5, 6];
const BYTES = Array.from(
  { length: 256 },
  (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`,
);

type Values = Readonly<Record<string, unknown>>;
const SENTENCE_PIECE: Values = {
  "general.architecture": "llama",
  "tokenizer.ggml.model": "llama",
  "tokenizer.ggml.tokens": ["<unk>", "<s>", "</s>", ...BYTES, "▁", "a", "b", "ab", "▁ab", "<|im_end|>"],
  "tokenizer.ggml.scores": new Float32Array(265).map((_, id) => -id),
  "tokenizer.ggml.token_type": Int32Array.from([
    UNKNOWN,
    CONTROL,
    CONTROL,
    ...BYTES.map(() => BYTE),
    ...[NORMAL, NORMAL, NORMAL, NORMAL, NORMAL, NORMAL],
  ]),
};
const BYTE_LEVEL: Values = {
  "general.architecture": "qwen2",
  "tokenizer.ggml.model": "gpt2",
  "tokenizer.ggml.pre": "qwen2",
  "tokenizer.ggml.tokens": [
    "a",
    "b",
    "ab",
    "Ġ",
    "<|endoftext|>",
    "<think>",
    "<|im_end|>",
    "[PAD7]",
    "<a>",
    "</s>",
  ],
  "tokenizer.ggml.token_type": [
    ...[NORMAL, NORMAL, NORMAL, NORMAL, CONTROL],
    ...[USER_DEFINED, CONTROL, UNUSED, CONTROL, USER_DEFINED],
  ],
  "tokenizer.ggml.merges": ["a b"],
  "tokenizer.ggml.bos_token_id": 4,
  "tokenizer.ggml.eos_token_id": 4n,
};

function open(values: Values, changes: Values = {}): GgufText {
  const entries = Object.entries({ ...values, ...changes }).filter(([, value]) => value !== undefined);
  return createGgufTokenizer(new Map(entries), "model.gguf");
}
const encode = (text: GgufText, prompt: string) => text.tokenizer?.encode(prompt);

describe("BOS and EOS of a GGUF file", () => {
  test("SentencePiece texts begin with BOS when the file does not say", () => {
    expect(encode(open(SENTENCE_PIECE), "ab")).toEqual([1, 263]);
  });

  test("byte-level texts begin with BOS when the file does not say if their pre-tokenizer is one of Llama 3 or Tekken", () => {
    expect(encode(open(BYTE_LEVEL), "ab")).toEqual([2]);
    expect(encode(open(BYTE_LEVEL, { "tokenizer.ggml.pre": "llama-bpe" }), "ab")).toEqual([4, 2]);
    expect(encode(open(BYTE_LEVEL, { "tokenizer.ggml.pre": "tekken" }), "ab")).toEqual([4, 2]);
  });

  test("add_bos_token and add_eos_token decide when they are there", () => {
    const flags = (bos: boolean, eos: boolean) => ({
      "tokenizer.ggml.add_bos_token": bos,
      "tokenizer.ggml.add_eos_token": eos,
    });
    expect(encode(open(SENTENCE_PIECE, flags(false, true)), "ab")).toEqual([263, 2]);
    expect(encode(open(BYTE_LEVEL, flags(true, false)), "ab")).toEqual([4, 2]);
    expect(
      encode(open(BYTE_LEVEL, { ...flags(true, true), "tokenizer.ggml.bos_token_id": undefined }), "ab"),
    ).toEqual([2, 4]);
  });

  test("a text without special tokens, such as a rendered chat, gets none", () => {
    const { tokenizer } = open(SENTENCE_PIECE);
    expect(tokenizer?.encode("<s>ab", { addSpecialTokens: false })).toEqual([1, 263]);
  });

  test("an id out of the vocabulary means no such token", () => {
    const { tokenizerConfig } = open(BYTE_LEVEL, {
      "tokenizer.ggml.padding_token_id": 10,
      "tokenizer.ggml.mask_token_id": -1,
    });
    expect(tokenizerConfig).not.toHaveProperty("pad_token");
    expect(tokenizerConfig).not.toHaveProperty("mask_token");
    expect(tokenizerConfig).toMatchObject({ bos_token: "<|endoftext|>", eos_token: "<|endoftext|>" });
  });
});

describe("tokens that end an answer", () => {
  test("eos, eot, eom, and tokens known by name", () => {
    expect(open(BYTE_LEVEL).eosTokenIds).toEqual([4, 6]);
    expect(
      open(BYTE_LEVEL, { "tokenizer.ggml.eot_token_id": 2, "tokenizer.ggml.eom_token_id": 3 }).eosTokenIds,
    ).toEqual([2, 3, 4, 6]);
  });

  test("a token known by name is special even if the file types it as normal", () => {
    const text = open(SENTENCE_PIECE);
    expect(text.eosTokenIds).toEqual([2, 264]);
    expect(encode(text, "ab<|im_end|>")).toEqual([1, 263, 264]);
    expect(text.tokenizer?.decode([263, 264], { skipSpecialTokens: true })).toBe("ab");
  });

  test("</s> is one only as a control token: it is HTML in Gemma's vocabulary", () => {
    const types = [NORMAL, NORMAL, NORMAL, NORMAL, CONTROL, NORMAL, CONTROL, UNUSED, NORMAL, CONTROL];
    expect(open(BYTE_LEVEL, { "tokenizer.ggml.token_type": types }).eosTokenIds).toEqual([4, 6, 9]);
  });

  test("<|end|> is none where <|return|> and <|call|> are: it ends a message of a Harmony answer", () => {
    const tokens = ["a", "b", "ab", "Ġ", "<|endoftext|>", "<|end|>", "<|return|>", "<|call|>", "x", "y"];
    expect(open(BYTE_LEVEL, { "tokenizer.ggml.tokens": tokens }).eosTokenIds).toEqual([4, 6, 7]);
    expect(open(BYTE_LEVEL, { "tokenizer.ggml.tokens": tokens.with(7, "z") }).eosTokenIds).toEqual([4, 5, 6]);
  });
});

describe("tokens of a GGUF vocabulary", () => {
  test("control and user-defined ones are found in texts; padding is no token and decodes to nothing", () => {
    const { tokenizer } = open(BYTE_LEVEL);
    expect(tokenizer?.encode("a<think>b<a><|im_end|>")).toEqual([0, 5, 1, 8, 6]);
    expect(tokenizer?.decode([0, 5, 7, 1, 8], { skipSpecialTokens: true })).toBe("a<think>b");
    expect(tokenizer?.tokenId("[PAD7]")).toBeUndefined();
  });

  test("control tokens [THINK] are the model's reasoning markers, and part of the text", () => {
    const tokens = ["a", "b", "ab", "Ġ", "[THINK]", "<think>", "[/THINK]", "</think>", "x", "y"];
    const types = [NORMAL, NORMAL, NORMAL, NORMAL, CONTROL, NORMAL, CONTROL, NORMAL, CONTROL, NORMAL];
    const named = { "tokenizer.ggml.tokens": tokens, "tokenizer.ggml.token_type": types };
    const { tokenizer, chatTemplate } = open(BYTE_LEVEL, {
      ...named,
      "tokenizer.chat_template": "{{ '[THINK]' }}",
    });
    const markers = findReasoningMarkers(tokenizer, chatTemplate?.texts ?? []);
    expect(markers).toEqual({ open: "[THINK]", close: "[/THINK]" });
    expect(tokenizer?.decode([4, 0, 6, 1])).toBe("[THINK]a[/THINK]b");
    expect(findReasoningMarkers(open(BYTE_LEVEL).tokenizer, [])).toEqual(THINK_TAGS);
  });

  test("SentencePiece: bytes for characters without a token, the prefix after each special token", () => {
    const text = open(SENTENCE_PIECE);
    expect(encode(text, "é<s>ab")).toEqual([1, 259, 3 + 0xc3, 3 + 0xa9, 1, 263]);
    expect(text.tokenizer?.decode([263, 3 + 0xc3, 3 + 0xa9])).toBe("abé");
  });

  test("Gemma's texts get no prefix when the file does not say, others do", () => {
    expect(encode(open(SENTENCE_PIECE, { "general.architecture": "gemma3" }), "ab")).toEqual([1, 262]);
    expect(encode(open(SENTENCE_PIECE, { "tokenizer.ggml.add_space_prefix": false }), "ab")).toEqual([
      1, 262,
    ]);
    expect(encode(open(SENTENCE_PIECE), "ab")).toEqual([1, 263]);
  });

  test("special tokens of Phi-3 but <s> take the white space after them", () => {
    const changes = { "general.architecture": "phi3", "tokenizer.ggml.add_space_prefix": false };
    expect(encode(open(SENTENCE_PIECE, changes), "a<|im_end|> \n b<s> a")).toEqual([
      1, 260, 264, 261, 1, 259, 260,
    ]);
    const others = { ...changes, "general.architecture": "llama" };
    expect(encode(open(SENTENCE_PIECE, others), "a<|im_end|> b")).toEqual([1, 260, 264, 259, 261]);
  });

  test("a file without a vocabulary has no tokenizer", () => {
    for (const model of [undefined, "no_vocab", "none"])
      expect(open({ "tokenizer.ggml.model": model })).toMatchObject({
        tokenizer: undefined,
        eosTokenIds: [],
      });
  });

  test("a file that names no pre-tokenizer opens with llama.cpp's default and a note", () => {
    const { notes, tokenizer } = open(BYTE_LEVEL, { "tokenizer.ggml.pre": undefined });
    expect(notes).toEqual([expect.stringMatching(/^model\.gguf does not name its pre-tokenizer/)]);
    expect(tokenizer?.encode("ab")).toEqual([2]);
  });
});

describe("chat templates of a GGUF file", () => {
  const messages = [{ role: "user", content: "hi" }];

  test("a rendered template that begins with BOS gets no second one", () => {
    const { chatTemplate, tokenizer } = open(SENTENCE_PIECE, {
      "tokenizer.chat_template": "{{ bos_token }}ab{% if add_generation_prompt %}<|im_end|>{% endif %}",
    });
    const prompt = chatTemplate?.(messages) ?? "";
    expect(prompt).toBe("<s>ab<|im_end|>");
    expect(tokenizer?.encode(prompt, { addSpecialTokens: false })).toEqual([1, 263, 264]);
  });

  test("tool_use serves requests with tools", () => {
    const { chatTemplate } = open(BYTE_LEVEL, {
      "tokenizer.chat_template": "plain",
      "tokenizer.chat_templates": ["tool_use", "rag"],
      "tokenizer.chat_template.tool_use": "tools",
    });
    expect(chatTemplate?.(messages)).toBe("plain");
    expect(chatTemplate?.(messages, { variables: { tools: [{}] } })).toBe("tools");
  });

  test("a file without one has none, and errors name the file", () => {
    expect(open(BYTE_LEVEL).chatTemplate).toBeUndefined();
    const { chatTemplate } = open(BYTE_LEVEL, { "tokenizer.chat_template": "{% broken" });
    expect(() => chatTemplate?.(messages)).toThrow(
      /template model\.gguf, tokenizer\.chat_template cannot be used/,
    );
  });
});

describe("a GGUF file whose vocabulary cannot be used", () => {
  test.each([
    ["t5", /kind "t5" is not supported; take a file whose tokenizer\.ggml\.model is one of gpt2, llama$/],
    ["bert", /kind "bert"/],
    ["toString", /kind "toString"/],
  ])("a tokenizer of the kind %s: a ModelFileError that names the known ones", (model, message) => {
    expect(() => open(SENTENCE_PIECE, { "tokenizer.ggml.model": model })).toThrow(ModelFileError);
    expect(() => open(SENTENCE_PIECE, { "tokenizer.ggml.model": model })).toThrow(message);
  });

  test.each([
    "whitespace",
    "constructor",
    "",
  ])("the pre-tokenizer %j: a ModelFileError that names the known ones", (pre) => {
    expect(() => open(BYTE_LEVEL, { "tokenizer.ggml.pre": pre })).toThrow(ModelFileError);
    expect(() => open(BYTE_LEVEL, { "tokenizer.ggml.pre": pre })).toThrow(
      /model\.gguf.*one of default, llama-bpe, .*smollm/,
    );
  });

  test.each<[string, Values, RegExp]>([
    ["no tokens", { "tokenizer.ggml.tokens": undefined }, /holds no tokens/],
    ["an empty vocabulary", { "tokenizer.ggml.tokens": [] }, /holds no tokens/],
    [
      "tokens that are no texts",
      { "tokenizer.ggml.tokens": ["a", 1] },
      /tokens to be a list of texts, got 1/,
    ],
    ["tokens that are no list", { "tokenizer.ggml.tokens": "abc" }, /list of texts/],
    [
      "too few scores",
      { "tokenizer.ggml.scores": [1] },
      /scores has 1 entries for a vocabulary of 265 tokens/,
    ],
    [
      "a score that is no number",
      { "tokenizer.ggml.scores": new Float32Array(265).fill(Number.NaN) },
      /scores.*NaN/,
    ],
    ["no scores", { "tokenizer.ggml.scores": undefined }, /has no tokenizer\.ggml\.scores/],
    ["types that are texts", { "tokenizer.ggml.token_type": ["1"] }, /token_type to be a list of numbers/],
    ["a model that is no text", { "tokenizer.ggml.model": 5 }, /model to be a text, got 5/],
    ["a flag that is no flag", { "tokenizer.ggml.add_bos_token": "yes" }, /true or false, got "yes"/],
    ["an id that is no id", { "tokenizer.ggml.bos_token_id": 1.5 }, /whole number, got 1\.5/],
    ["a template that is no text", { "tokenizer.chat_template": 1 }, /chat_template to be a text/],
  ])("%s: a ModelFileError that names the file and the value", (_, changes, message) => {
    expect(() => open(SENTENCE_PIECE, changes)).toThrow(ModelFileError);
    expect(() => open(SENTENCE_PIECE, changes)).toThrow(message);
    expect(() => open(SENTENCE_PIECE, changes)).toThrow(/model\.gguf/);
  });

  test("special tokens of a million characters, before they are built into a tree", () => {
    const tokens = ["a", "b", "ab", "Ġ", "<|endoftext|>", "x".repeat(1e6)];
    expect(() =>
      open(BYTE_LEVEL, { "tokenizer.ggml.tokens": tokens, "tokenizer.ggml.token_type": [1, 1, 1, 1, 3, 3] }),
    ).toThrow(/model\.gguf, tokenizer\.ggml: its added tokens have more than 524288 characters/);
  });

  test("merges that are missing, or lead to no token", () => {
    expect(() => open(BYTE_LEVEL, { "tokenizer.ggml.merges": undefined })).toThrow(
      /no tokenizer\.ggml\.merges/,
    );
    const tokens = ["a", "b", "c", "Ġ"];
    const { tokenizer } = open(BYTE_LEVEL, {
      "tokenizer.ggml.tokens": tokens,
      "tokenizer.ggml.merges": ["a z", "a b"],
    });
    expect(tokenizer?.encode("acb")).toEqual([0, 2, 1]);
    expect(() => tokenizer?.encode("ab")).toThrow(ModelFileError);
    expect(() => tokenizer?.encode("ab")).toThrow(
      /model\.gguf, tokenizer\.ggml\.merges: merge 1, "a b", leads to no token/,
    );
  });
});
