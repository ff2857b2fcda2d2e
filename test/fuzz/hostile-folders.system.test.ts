/**
 * Opens checkpoints with structural damage in a process of their own: each yields an engine or a typed error, in bounded
 * time and memory. LESSISMORE_FUZZ_RUNS=20000 searches longer (CONTRIBUTING.md has the command).
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, expect, test } from "vitest";
import { repositoryPath } from "../golden/open-fixture.ts";
import { damagedFolder, damagesOf, type FuzzedFile } from "./mutate.ts";
import { CASE_MS, OpeningProcess, PEAK_BYTES } from "./opening-process.ts";

/** The suite uses the same folders every time; a longer search draws new ones, and prints its seed when it fails. */
const LONGER = process.env.LESSISMORE_FUZZ_RUNS;
const RUNS = Number(LONGER ?? 1500);
const BACKENDS = ["reference", "wasm"];
const ALL_MS = LONGER === undefined ? 120_000 : Math.max(120_000, RUNS * 100);

const CHECKPOINT = repositoryPath("test/golden/hf/qwen3-yarn-left-alone");

function baseFiles(): Record<string, FuzzedFile> {
  const weights = new Uint8Array(readFileSync(join(CHECKPOINT, "model.safetensors")));
  const headerEnd = 8 + Number(new DataView(weights.buffer, weights.byteOffset).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(weights.subarray(8, headerEnd)));
  const config = JSON.parse(readFileSync(join(CHECKPOINT, "config.json"), "utf8"));
  return {
    "config.json": { json: config },
    "generation_config.json": {
      json: {
        do_sample: true,
        temperature: 0.6,
        top_k: 20,
        top_p: 0.95,
        eos_token_id: [3, 4],
        max_new_tokens: 9,
      },
    },
    "tokenizer_config.json": {
      json: {
        bos_token: { content: "<s>", lstrip: false },
        eos_token: "</s>",
        clean_up_tokenization_spaces: true,
        extra_special_tokens: {},
        chat_template: "{% for m in messages %}{{ m.role }}: {{ m.content }}{% endfor %}",
      },
    },
    "tokenizer.json": { json: tokenizer() },
    "model.safetensors": { json: header, data: weights.subarray(headerEnd) },
  };
}

/** Creates a byte-level tokenizer with two merges. */
function tokenizer() {
  const vocab: Record<string, number> = { "<s>": 0, "</s>": 1, a: 2, b: 3, ab: 4, Ġ: 5, Ġab: 6 };
  return {
    version: "1.0",
    added_tokens: [0, 1].map((id) => ({
      id,
      content: ["<s>", "</s>"][id],
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: true,
    })),
    normalizer: { type: "Sequence", normalizers: [{ type: "NFC" }] },
    pre_tokenizer: { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true },
    post_processor: { type: "ByteLevel", add_prefix_space: true, trim_offsets: false, use_regex: true },
    decoder: { type: "ByteLevel", add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: { type: "BPE", vocab, merges: ["a b", "Ġ ab"], unk_token: null, byte_fallback: false },
  };
}

const opening = new OpeningProcess();
afterAll(() => opening.close());

test("the undamaged checkpoint opens", async () => {
  for (const backend of BACKENDS) {
    const { outcome } = await opening.open(damagedFolder(baseFiles(), []), backend);
    expect(outcome).toBe("engine");
  }
});

test(
  `a damaged checkpoint yields an engine or a typed error, within ${CASE_MS} ms and ${PEAK_BYTES / 2 ** 30} GiB`,
  async () => {
    const backends = fc.constantFrom(...BACKENDS);
    const files = baseFiles();
    let engines = 0;
    await fc.assert(
      fc.asyncProperty(damagesOf(Object.keys(files)), backends, async (damages, backend) => {
        const { outcome, peakBytes } = await opening.open(damagedFolder(files, damages), backend);
        if (outcome === "engine") engines++;
        expect(outcome).toMatch(/^(engine|typed )/);
        expect(peakBytes).toBeLessThan(PEAK_BYTES);
      }),
      {
        numRuns: RUNS,
        ...(LONGER === undefined && { seed: 20260601 }),
        interruptAfterTimeLimit: ALL_MS,
        markInterruptAsFailure: true,
      },
    );
    // some damage must leave an engine, or the test covers too little
    expect(engines).toBeGreaterThan(RUNS / 20);
  },
  ALL_MS + 60_000,
);
