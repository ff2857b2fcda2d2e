import { readdirSync } from "node:fs";
import { describe, expect, it, test } from "vitest";
import { repositoryPath } from "../../test/golden/open-fixture.ts";
import { openCheckpoint } from "../load/checkpoint.ts";
import { openModel } from "../node/hub/open-model.ts";
import { encodeTokenizer, lazyTokenizer } from "./tokenizer-transfer.ts";

const gguf = readdirSync(repositoryPath("test/golden/gguf")).filter((name) => name.endsWith(".gguf"));
const MODELS = ["models/pico-reasoner", ...gguf.map((name) => `test/golden/gguf/${name}`)];
const TEXT = "Find qw: io=26\n  qw = io+7 — été, 數學 \u{1f600}<|im_end|></s> a\ud800b";

describe("a tokenizer on another thread", () => {
  test.each(MODELS)("of %s gives the same ids and texts", async (model) => {
    const { folder } = await openModel(repositoryPath(model));
    const { tokenizer, tokenizerSource, close } = await openCheckpoint(folder);
    await close();
    const other = lazyTokenizer(structuredClone(encodeTokenizer(tokenizerSource)));
    if (!tokenizer) {
      expect(() => other.encode(TEXT)).toThrow("has no tokenizer.json; give tokenIds");
      return;
    }
    const ids = tokenizer.encode(TEXT);
    expect(ids.length).toBeGreaterThan(10);
    expect(other.encode(TEXT)).toEqual(ids);
    expect(other.encode(TEXT, { addSpecialTokens: false })).toEqual(
      tokenizer.encode(TEXT, { addSpecialTokens: false }),
    );
    expect(other.decode(ids, { skipSpecialTokens: true })).toBe(
      tokenizer.decode(ids, { skipSpecialTokens: true }),
    );
    const stream = other.decodeStream();
    expect(ids.map((id) => stream.push(id)).join("") + stream.end()).toBe(tokenizer.decode(ids));
    expect(other.minTokens(TEXT)).toBe(tokenizer.minTokens(TEXT));
    const [id = 0] = ids;
    expect(other.tokenId(other.token(id) ?? "")).toBe(tokenizer.tokenId(tokenizer.token(id) ?? ""));
  });

  it("costs the contents of tokenizer.json only as bytes, which are given away", async () => {
    const { folder } = await openModel(repositoryPath("models/pico-reasoner"));
    const checkpoint = await openCheckpoint(folder);
    await checkpoint.close();
    const sent = encodeTokenizer(checkpoint.tokenizerSource);
    expect(sent.form).toBe("json");
    if (sent.form === "json") expect(sent.bytes.byteLength).toBeGreaterThan(1000);
  });
});
