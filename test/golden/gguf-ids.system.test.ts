import { describe, expect, test } from "vitest";
import { testModel } from "../../scripts/fetch-test-models.mjs";
import type { TemplateMessage } from "../../src/load/chat-template.ts";
import { openCheckpoint } from "../../src/load/checkpoint.ts";
import { openFileFolder } from "../../src/node/file-folder.ts";
import { place } from "../place/here.ts";

interface ModelGolden {
  readonly ids: readonly number[][];
  /** What texts decode to that do not decode to themselves after BOS, by their index. */
  readonly changed: Readonly<Record<string, string>>;
  /** [messages, rendered chat, its ids] */
  readonly chats?: readonly (readonly [readonly TemplateMessage[], string, number[]])[];
}
type Name = "smollm2" | "gemma3";

const golden: { readonly texts: readonly string[] } & Readonly<Record<Name, ModelGolden>> = JSON.parse(
  await place.readText("test/golden/gguf-tokenizers/real-ids.json"),
);

/** Gemma's file is larger than a run of the tests should fetch: its ids are compared wherever somebody has fetched it. */
function isFetched(name: Name): boolean {
  try {
    return testModel(`${name}.gguf`) !== "";
  } catch {
    return false;
  }
}
const MODELS: readonly Name[] = isFetched("gemma3") ? ["smollm2", "gemma3"] : ["smollm2"];

describe.each(MODELS)("the GGUF file %s", async (name) => {
  const checkpoint = await openCheckpoint(await openFileFolder(testModel(`${name}.gguf`)));
  await checkpoint.close();
  const { tokenizer, chatTemplate } = checkpoint;
  const { ids, changed, chats } = golden[name];

  test("encodes 279 texts to the ids of transformers' tokenizer, decodes them, and streams the same text", () => {
    expect(golden.texts).toHaveLength(279);
    for (const [i, text] of golden.texts.entries()) {
      const expected = ids[i] ?? [];
      expect(tokenizer?.encode(text), JSON.stringify(text)).toEqual(expected);
      const decoded = changed[i] ?? (name === "gemma3" ? `<bos>${text}` : text);
      expect(tokenizer?.decode(expected)).toBe(decoded);
      const stream = tokenizer?.decodeStream();
      expect(expected.map((id) => stream?.push(id)).join("") + stream?.end()).toBe(decoded);
    }
  });

  test("renders and encodes chats as transformers, without a second BOS", () => {
    for (const [messages, text, expected] of chats ?? []) {
      expect(chatTemplate?.(messages)).toBe(text);
      expect(tokenizer?.encode(text, { addSpecialTokens: false })).toEqual(expected);
    }
    expect(chatTemplate === undefined).toBe(chats === undefined);
  });
});
