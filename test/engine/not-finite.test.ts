/** A NaN in a checkpoint's weights fails the requests that reach it, and no others, on every backend. */
import { readFile } from "node:fs/promises";
import { afterEach, describe, expect, test } from "vitest";
import type { GenerationEngine } from "../../src/engine/engine.ts";
import type { GenerationRequest } from "../../src/engine/request.ts";
import type { FileFolder } from "../../src/load/byte-source.ts";
import { openFileFolder } from "../../src/node/file-folder.ts";
import { BACKENDS } from "../conformance/backend-table.ts";
import { memoryFolder } from "../golden/memory-folder.ts";
import { repositoryPath } from "../golden/open-fixture.ts";
import { openTiny, type TinyOptions } from "./tiny-engine.ts";

/** Four layers, bf16, untied embeddings, so that a test can corrupt a single token. */
const MODEL = "test/golden/hf/qwen3-untied";
const HIDDEN_SIZE = 96;
const BF16_NAN = 0x7fc0;
const BF16_INFINITY = 0x7f80;

/** Loads the checkpoint with one element of a tensor replaced. */
async function corrupted(tensor: string, element: number, bits = BF16_NAN): Promise<FileFolder> {
  const read = (name: string) => readFile(repositoryPath(`${MODEL}/${name}`));
  const weights = new Uint8Array(await read("model.safetensors"));
  const view = new DataView(weights.buffer);
  const headerBytes = Number(view.getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(weights.subarray(8, 8 + headerBytes)));
  view.setUint16(8 + headerBytes + header[tensor].data_offsets[0] + 2 * element, bits, true);
  return memoryFolder({
    "config.json": new Uint8Array(await read("config.json")),
    "generation_config.json": new Uint8Array(await read("generation_config.json")),
    "model.safetensors": weights,
  });
}

const ids = Array.from({ length: 30 }, (_, i) => 3 + ((i * 37) % 300));
const greedy = { maxTokens: 6, temperature: 0, ignoreEos: true };
const random = { ...greedy, temperature: 1, seed: 4 };
const CORRUPTIONS: [string, string, number, number?][] = [
  ["NaN in the output weight of an unlikely token", "lm_head.weight", 319 * HIDDEN_SIZE + 5],
  ["NaN in a layer", "model.layers.2.mlp.down_proj.weight", 700],
  ["NaN in the keys", "model.layers.0.self_attn.k_proj.weight", 0],
  ["infinity in the last norm", "model.norm.weight", 3, BF16_INFINITY],
];
/** Policies; the step after such a token selects among scores of NaN. */
const POLICIES = [
  "full",
  "less-is-more:budget=12,layers=1+2",
  "tidal-decode:budget=12,layers=1+2",
  "quest:budget=16,page=4,dense-layers=1",
  "oracle-top-k:budget=12",
  "streaming-llm:budget=12",
];
const failure = {
  name: "BackendError",
  code: "backend",
  message: expect.stringMatching(
    /position \d+: the logits(, after the repetition penalty of 1\.2,)? hold NaN or infinity.*lessismore inspect/,
  ),
};

describe.each(BACKENDS)("$name", ({ open, cases }) => {
  const isShort = cases !== undefined;
  const opened: GenerationEngine[] = [];
  afterEach(async () => {
    for (const engine of opened.splice(0)) await engine.close();
  });
  async function openFolder(folder: FileFolder, options: TinyOptions = {}): Promise<GenerationEngine> {
    const engine = await openTiny(open, { ...options, folder });
    opened.push(engine);
    return engine;
  }
  const tokensOf = async (engine: GenerationEngine, request: GenerationRequest) =>
    (await engine.generate(request).result()).tokenIds;

  test.each(
    isShort ? CORRUPTIONS.slice(0, 1) : CORRUPTIONS,
  )("%s fails every request, greedy or not, with an error that names position and remedy", async (_, tensor, element, bits) => {
    const engine = await openFolder(await corrupted(tensor, element, bits));
    const ways = isShort
      ? [greedy, random]
      : [greedy, random, { ...random, topK: 5, topP: 0.9 }, { ...greedy, repetitionPenalty: 1.2 }];
    for (const way of ways)
      await expect(tokensOf(engine, { ...way, tokenIds: ids })).rejects.toMatchObject(failure);
  });

  test("a NaN in a prompt token fails only its request: same tokens beside it, and later in its pages", async () => {
    const token = 79;
    expect(ids).not.toContain(token);
    const clean = await openFolder(await openFileFolder(repositoryPath(MODEL)));
    const options = { sizes: { maxPages: 3 * 9 } }; // room for three of these requests
    const engine = await openFolder(
      await corrupted("model.embed_tokens.weight", token * HIDDEN_SIZE + 40),
      options,
    );
    const others = [
      { ...greedy, tokenIds: ids },
      { ...random, tokenIds: ids.slice(3) },
    ];
    const expected: unknown[] = [];
    for (const request of others) expected.push(await tokensOf(clean, request));
    expect(expected.flat()).not.toContain(token);
    for (const way of isShort ? [greedy] : [greedy, random]) {
      const bad = { ...way, tokenIds: [...ids.slice(0, 9), token, ...ids.slice(9, 20)] };
      const outcomes = await Promise.allSettled(
        [others[0], bad, others[1]].map((one) => tokensOf(engine, one)),
      );
      expect(outcomes).toMatchObject([
        { value: expected[0] },
        { status: "rejected", reason: failure },
        { value: expected[1] },
      ]);
      for (const [i, request] of [...others, ...others].entries())
        expect(await tokensOf(engine, request)).toEqual(expected[i % 2]);
    }
  });

  test.each(
    isShort ? ["full"] : POLICIES,
  )("%s: a NaN in a sampled token fails the request at the next token, after delivery of all tokens before", async (attention) => {
    const clean = await openFolder(await openFileFolder(repositoryPath(MODEL)));
    const request = { ...greedy, tokenIds: ids, attention };
    const expected = await tokensOf(clean, request);
    const at = expected.findIndex((token, i) => !ids.includes(token) && expected.indexOf(token) === i);
    expect(at).toBeGreaterThanOrEqual(0);
    expect(at).toBeLessThan(expected.length - 1);
    const engine = await openFolder(await corrupted("model.embed_tokens.weight", expected[at] * HIDDEN_SIZE));
    const tokens: number[] = [];
    const read = async () => {
      for await (const part of engine.generate(request)) tokens.push(...part.tokenIds);
    };
    await expect(read()).rejects.toThrow(`position ${ids.length + at + 1}: the logits hold NaN or infinity`);
    expect(tokens).toEqual(expected.slice(0, at + 1));
  });
});

test("an engine that runs ahead also fails the request, after it recorded the next step", async () => {
  const [{ open }] = BACKENDS;
  const folder = await corrupted("lm_head.weight", 319 * HIDDEN_SIZE);
  const engine = await openTiny(open, { runsAhead: true, folder });
  const results = [greedy, random].map((way) => engine.generate({ ...way, tokenIds: ids }).result());
  for (const result of await Promise.allSettled(results))
    expect(result).toMatchObject({ status: "rejected", reason: failure });
  await engine.close();
});
