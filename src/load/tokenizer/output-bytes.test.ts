import { describe, expect, it } from "vitest";
import { openTokenizer, randomFrom } from "../../../test/constraint/trial.ts";
import { createTokenizer } from "../tokenizer.ts";

const KINDS = [
  ...["llama3", "qwen", "deepseek", "tekken", "o200k", "phi4", "gpt2", "smollm", "falcon", "bloom", "lossy"],
  ...["added", "llama2", "mistral", "gemma", "no-fallback", "unigram", "word-piece", "word-level"],
];

describe.each(KINDS)("bytes of the tokens of %s", (kind) => {
  const tokenizer = openTokenizer(kind);
  const output = tokenizer.outputBytes?.();

  it("join to the text of the tokens, if they are valid UTF-8", () => {
    const random = randomFrom(3);
    let numValid = 0;
    for (let i = 0; i < 400; i++) {
      const ids = Array.from({ length: 1 + (i % 4) }, () => Math.floor(random() * (output?.size ?? 0)));
      const bytes = ids.flatMap((id, at) => [...(output?.bytes(id, at === 0) ?? [])]);
      let text: string | undefined;
      try {
        text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(Uint8Array.from(bytes));
      } catch {}
      if (text === undefined) continue;
      // a first token without text leaves the next one at the start
      if ((output?.bytes(ids[0] ?? 0, true)?.length ?? 0) === 0) continue;
      numValid++;
      expect(tokenizer.decode(ids), ids.map((id) => tokenizer.token(id)).join(" ")).toBe(text);
    }
    expect(numValid).toBeGreaterThan(100);
  });
});

describe("a tokenizer whose tokens depend on those around them", () => {
  it("has no bytes of tokens", () => {
    for (const kind of ["clip", "prefixed"]) expect(openTokenizer(kind).outputBytes?.()).toBeUndefined();
    const model = { type: "WordLevel", vocab: { a: 0, "[UNK]": 1 }, unk_token: "[UNK]" };
    const plain = createTokenizer({ model }, {}, "words");
    expect(plain.outputBytes?.()?.bytes(0, false)).toEqual(Uint8Array.of(0x20, 0x61));
    const cleaned = createTokenizer({ model }, { clean_up_tokenization_spaces: true }, "words");
    expect(cleaned.outputBytes?.()).toBeUndefined();
  });
});
