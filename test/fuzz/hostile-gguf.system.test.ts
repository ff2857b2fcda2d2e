/**
 * Opens damaged GGUF files in a process of their own: each yields an engine or a typed error, in bounded time and memory. None
 * is a ConfigError: a damaged file is no setting of its user.
 * LESSISMORE_FUZZ_RUNS=100000 searches longer (CONTRIBUTING.md has the command).
 */
import { readFileSync } from "node:fs";
import fc from "fast-check";
import { afterAll, expect, test } from "vitest";
import { field } from "../golden/gguf-file.ts";
import { repositoryPath } from "../golden/open-fixture.ts";
import { tinyGguf } from "../golden/tiny-gguf.ts";
import { damagedGguf, ggufChanges, piecesOf } from "./mutate-gguf.ts";
import { CASE_MS, OpeningProcess, PEAK_BYTES } from "./opening-process.ts";

/** The suite uses the same files every time; a longer search draws new ones, and prints its seed when it fails. */
const LONGER = process.env.LESSISMORE_FUZZ_RUNS;
const RUNS = Number(LONGER ?? 1500);
const ALL_MS = LONGER === undefined ? 120_000 : Math.max(120_000, RUNS * 100);

/** Models to damage: one with a vocabulary and a template, two that llama.cpp converted. */
const FILES: Readonly<Record<string, Uint8Array>> = {
  vocabulary: withVocabulary(),
  "llama-3": readFileSync(repositoryPath("test/golden/gguf/llama-3.gguf")),
  "phi3-longrope": readFileSync(repositoryPath("test/golden/gguf/phi3-longrope.gguf")),
};

function withVocabulary(): Uint8Array {
  const tokens = ["<s>", "</s>", "a", "b", "ab", "Ġ"];
  return tinyGguf({
    metadata: {
      "tokenizer.ggml.model": field.text("gpt2"),
      "tokenizer.ggml.pre": field.text("default"),
      "tokenizer.ggml.tokens": field.texts(tokens),
      "tokenizer.ggml.token_type": field.list(
        5,
        tokens.map((_, i) => field.i32(i < 2 ? 3 : 1)),
      ),
      "tokenizer.ggml.merges": field.texts(["a b"]),
      "tokenizer.ggml.bos_token_id": field.u32(0),
      "tokenizer.ggml.eos_token_id": field.u32(1),
      "tokenizer.chat_template": field.text(
        "{% for m in messages %}{{ m.role }}: {{ m.content }}{% endfor %}",
      ),
      "general.tags": field.list(9, [field.texts(["x"]), field.list(4, [field.u32(1)])]),
      "general.sampling.temp": field.f32(0.6),
    },
  });
}

const opening = new OpeningProcess();
afterAll(() => opening.close());

test.each(Object.keys(FILES))("the undamaged file %s opens", async (name) => {
  const { outcome } = await opening.open({ "m.gguf": FILES[name] ?? new Uint8Array(0) }, "reference");
  expect(outcome).toBe("engine");
});

test(
  `a damaged file yields an engine or a typed error, within ${CASE_MS} ms and ${PEAK_BYTES / 2 ** 30} GiB`,
  async () => {
    const cut = Object.entries(FILES).map(([name, file]) => ({ name, pieces: piecesOf(file) }));
    const outcomes = new Map<string, number>();
    const cases = fc.tuple(
      fc.integer({ min: 0, max: cut.length - 1 }),
      ggufChanges,
      fc.constantFrom("reference", "wasm"),
    );
    await fc.assert(
      fc.asyncProperty(cases, async ([which, changes, backend]) => {
        const file = damagedGguf(cut[which]?.pieces ?? [], changes);
        const { outcome, peakBytes } = await opening.open({ "m.gguf": file }, backend);
        const kind = /^(engine|typed [\w-]+)/.exec(outcome)?.[0] ?? "other";
        outcomes.set(kind, (outcomes.get(kind) ?? 0) + 1);
        expect(outcome).toMatch(/^(engine|typed (?!config))/);
        expect(peakBytes).toBeLessThan(PEAK_BYTES);
      }),
      {
        numRuns: RUNS,
        ...(LONGER === undefined && { seed: 20261126 }),
        interruptAfterTimeLimit: ALL_MS,
        markInterruptAsFailure: true,
      },
    );
    if (LONGER !== undefined) console.info(Object.fromEntries(outcomes));
    // some damage must leave an engine, or the test covers too little
    expect(outcomes.get("engine") ?? 0).toBeGreaterThan(RUNS / 50);
    expect(outcomes.get("typed model-file") ?? 0).toBeGreaterThan(RUNS / 4);
  },
  ALL_MS + 60_000,
);
