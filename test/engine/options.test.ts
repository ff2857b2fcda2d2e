/** Options of engine and requests, limits, and the source of selection layers. */
import { describe, expect, test } from "vitest";
import { ConfigError } from "../../src/base/errors.ts";
import type { EngineOptions } from "../../src/index.ts";
import { bundledModelFolder, inspectCheckpoint, lessIsMore, openEngine } from "../../src/node/index.ts";
import { BACKENDS } from "../conformance/backend-table.ts";
import { repositoryPath } from "../golden/open-fixture.ts";
import { CHAT, openScripted } from "./scripted-model.ts";
import { characters, openTiny } from "./tiny-engine.ts";

const [{ open }] = BACKENDS;
const TINY = repositoryPath("test/golden/hf/llama-mha-f32");

describe("invalid options of an engine are a ConfigError that names them", () => {
  test.each<[string, unknown, string]>([
    [
      "a misspelt key",
      { contxtLenght: 7 },
      'openEngine: unknown option "contxtLenght"; did you mean "contextLength"?',
    ],
    ["a misspelt model", { modle: "x" }, 'did you mean "model"?'],
    [
      "a number as model",
      { model: 5 },
      "model must be a folder, a file, a URL, or a model of the hub (org/name), got 5",
    ],
    [
      "an unknown backend",
      { backend: "cuda" },
      'backend must be one of auto, webgpu, wasm, reference, got "cuda"',
    ],
    ["no threads", { threads: 0 }, "threads must be a whole number from 1 to 256, got 0"],
    ["infinite threads", { threads: Number.POSITIVE_INFINITY }, "got Infinity"],
    ["a page of odd size", { pageSize: 12 }, "pageSize must be a power of two of at least 4, got 12"],
    ["half a context", { contextLength: 7.5 }, "contextLength must be a whole number of at least 2"],
    ["no stall at all", { maxStallMs: 0 }, "maxStallMs must be a number of milliseconds above 0, got 0"],
    ["an endless stall", { maxStallMs: Number.POSITIVE_INFINITY }, "maxStallMs must be a number"],
    ["an unknown tuning", { tuning: "fast" }, "tuning must be one of auto, measure, default"],
    ["an unknown cache dtype", { cacheDtype: "q4" }, "cacheDtype must be one of f16, f32, q8"],
    ["a boolean as attention", { attention: true }, "attention must be a policy"],
    ["a text as signal", { signal: "x" }, "signal must be an AbortSignal"],
    ["null options", null, "expected an object of options, got null"],
    ["a context past the model's", { model: TINY, contextLength: 1e6 }, "contextLength 1000000 is more than"],
    ["caches of less", { model: TINY, contextLength: 32, cacheTokens: 31 }, "cacheTokens 31 is less than"],
    ["caches of nothing", { cacheTokens: 0 }, "cacheTokens must be a whole number of at least 2"],
  ])("%s", async (_, options, message) => {
    const opened = openEngine(options as EngineOptions);
    await expect(opened).rejects.toThrow(ConfigError);
    await expect(opened).rejects.toThrow(message);
  });

  test("openEngine reads inherited options, and ignores changes after the call", async () => {
    const options: Record<string, unknown> = Object.create({ backend: "reference", contextLength: 32 });
    options.model = TINY;
    const opening = openEngine(options);
    options.model = "nowhere";
    const engine = await opening;
    expect(engine.report()).toMatchObject({ backend: { name: "reference" }, model: { contextLength: 32 } });
    await engine.close();
  });

  test("only undefined omits an option of a policy", () => {
    for (const selectionLayers of [0, "", null, false])
      expect(() => lessIsMore({ selectionLayers } as never)).toThrow("layers must name at least one layer");
    expect(() => lessIsMore({ tokenBudget: null } as never)).toThrow("budget must be a whole number");
    expect(() => lessIsMore(null as never)).toThrow("expected an object of settings, got null");
    expect(() => lessIsMore({ tokenBuget: 5 } as never)).toThrow('did you mean "tokenBudget"?');
  });

  test("inspect refuses unknown options", async () => {
    await expect(inspectCheckpoint(TINY, { scanWeight: true } as never)).rejects.toThrow(
      'did you mean "scanWeights"?',
    );
  });
});

describe("limits", () => {
  const says = ["x", "a", "b", "c", "d", "e", "f", "<|im_end|>"];

  test("maxTokens is lowered to the context, with a note in the result", async () => {
    const engine = await openScripted({ says, contextLength: 5 });
    const result = await engine.generate({ prompt: "x", maxTokens: 1e6 }).result();
    expect(result).toMatchObject({ answer: "abcd", finishReason: "length" });
    expect(result.notes).toEqual([
      "maxTokens lowered from 1000000 to 4: the context holds 5 tokens, 1 of them the prompt's",
    ]);
    expect((await engine.generate({ prompt: "x", maxTokens: 4 }).result()).notes).toEqual([]);
    await engine.close();
  });

  test.each<[string, Record<string, unknown>, number | undefined, string]>([
    ["max_new_tokens of the checkpoint limits the output", { max_new_tokens: 2 }, undefined, "ab"],
    ["max_length includes the prompt", { max_length: 4 }, undefined, "abc"],
    [
      "max_new_tokens takes precedence over max_length",
      { max_length: 4, max_new_tokens: 2 },
      undefined,
      "ab",
    ],
    ["the request's maxTokens takes precedence over both", { max_length: 4, max_new_tokens: 2 }, 5, "abcde"],
    ["without limits the output ends at the end-of-sequence token", {}, undefined, "abcdef"],
  ])("%s", async (_, generation, maxTokens, answer) => {
    const engine = await openScripted({ says, generation });
    const request = { prompt: "x", ...(maxTokens && { maxTokens }) };
    expect((await engine.generate(request).result()).answer).toBe(answer);
    await engine.close();
  });

  test("a prompt of max_length tokens is refused, as in transformers, unless the request sets maxTokens", async () => {
    const engine = await openScripted({ says, generation: { max_length: 2 } });
    expect(() => engine.generate({ tokenIds: [1, 2] })).toThrow("max_length 2 of the checkpoint's");
    expect((await engine.generate({ tokenIds: [1, 2], maxTokens: 3 }).result()).tokenIds).toHaveLength(3);
    await engine.close();
  });

  test("every result notes generation values that the engine ignores", async () => {
    const engine = await openScripted({ says, generation: { suppress_tokens: [5], typical_p: 0.5 } });
    const { notes } = await engine.generate({ prompt: "x" }).result();
    expect(notes).toEqual(["generation_config.json: suppress_tokens [5] is not followed"]);
    await engine.close();
  });

  test("a request that turns sampling on uses the checkpoint's other values, with or without do_sample", async () => {
    const generation = { do_sample: false, top_k: 1, temperature: 7 };
    const engine = await openScripted({ says, generation });
    for (let seed = 0; seed < 5; seed++)
      expect((await engine.generate({ prompt: "x", temperature: 50, seed }).result()).answer).toBe("abcdef");
    await engine.close();
    const broken = await openScripted({ says, generation: { do_sample: false, top_k: -1 } });
    expect((await broken.generate({ prompt: "x" }).result()).answer).toBe("abcdef");
    expect(() => broken.generate({ prompt: "x", temperature: 1 })).toThrow("top_k must be");
    await broken.close();
  });

  test("the result notes template options that have no effect", async () => {
    const template = CHAT.replace("add_generation_prompt", "add_generation_prompt and deep != 2");
    const engine = await openScripted({ says: ["\n", ...says.slice(1)], template });
    const messages = [{ role: "user", content: "hi" }];
    const notes = async (chatTemplateOptions: Record<string, unknown>) =>
      (await engine.generate({ messages, maxTokens: 1, chatTemplateOptions }).result()).notes;
    expect(await notes({ deep: 2 })).toEqual([]);
    expect(await notes({ enable_thinking: false })).toEqual([
      "the chat template writes the same prompt without enable_thinking",
    ]);
    const strict = `{% if not date %}{{ raise_exception('no date') }}{% endif %}${CHAT}`;
    const needy = await openScripted({ says: ["\n", ...says.slice(1)], template: strict });
    const result = await needy
      .generate({ messages, maxTokens: 1, chatTemplateOptions: { date: "today" } })
      .result();
    expect(result.notes).toEqual([]);
    await needy.close();
    await engine.close();
  });

  test("bigint token ids are refused by name", async () => {
    const engine = await openScripted({ says });
    const ids = new BigInt64Array([1n, 2n]) as unknown as ArrayLike<number>;
    expect(() => engine.generate({ tokenIds: ids })).toThrow("token id 1 is a bigint");
    await engine.close();
  });

  test("a prompt that cannot fit is refused by its length, without being copied or tokenised", async () => {
    const engine = await openScripted({ says });
    const ids = new Proxy({ length: 2 ** 32 }, {});
    expect(() => engine.generate({ tokenIds: ids as ArrayLike<number> })).toThrow(
      "the prompt has 4294967296 tokens, but the context holds 255 besides what is generated",
    );
    expect(() => engine.generate({ prompt: "x".repeat(1e7) })).toThrow("the prompt has at least");
    expect(() => engine.generate({ messages: [{ role: "user", content: "x".repeat(1e7) }] })).toThrow(
      "the prompt has at least",
    );
    await engine.close();
  });
});

test("the result notes a BOS that the tokenizer adds to a prompt that begins with one", async () => {
  const tokenizer: typeof characters = {
    ...characters,
    encode: (text, options) => [
      ...((options?.addSpecialTokens ?? true) ? [1] : []),
      ...characters.encode(text),
    ],
  };
  const engine = await openTiny(open, { tokenizer });
  const [bos, other] = [characters.token(1) ?? "", characters.token(2) ?? ""];
  const notesOf = async (prompt: string) => (await engine.generate({ prompt, maxTokens: 1 }).result()).notes;
  expect(await notesOf(bos + other)).toEqual([
    expect.stringMatching(`the prompt begins with ${bos}, and the tokenizer adds`),
  ]);
  for (const prompt of [other, other + bos, bos + bos]) expect(await notesOf(prompt)).toEqual([]);
  await engine.close();
});

test("the first prefill chunk has 16 rows on the caller's thread, and all rows on a device", async () => {
  for (const [runsAhead, chunks] of [
    [false, 2],
    [true, 1],
  ] as const) {
    let steps = 0;
    const onCall = (call: string) => {
      if (call === "beginStep") steps++;
    };
    const engine = await openTiny(open, { runsAhead, onCall, sizes: { maxBatchRows: 128 } });
    const tokenIds = Array.from({ length: 60 }, (_, i) => 3 + i);
    await engine.generate({ tokenIds, maxTokens: 1 }).result();
    expect(steps).toBe(chunks);
    await engine.close();
  }
});

describe("report and result name the source of selection layers:", () => {
  const GUESS = "selection layers 2+3 are a GUESS";

  test.each<[string, string | undefined, EngineOptions["attention"], string | undefined]>([
    ["the request", undefined, "less-is-more:budget=64,layers=2+5", "request"],
    ["a policy value", undefined, lessIsMore({ tokenBudget: 64, selectionLayers: [2, 5] }), "request"],
    ["the checkpoint's own spec", undefined, undefined, "checkpoint"],
    ["the checkpoint's layers in the request's spec", undefined, "less-is-more:budget=64", "checkpoint"],
    ["nobody", undefined, "tidal-decode:budget=64", "guess"],
    ["a policy without any", undefined, "streaming-llm:budget=64", undefined],
  ])("%s", async (_, model, attention, from) => {
    const engine = await openEngine({
      model: model ?? bundledModelFolder(),
      ...{ backend: "reference", contextLength: 64 },
      ...(attention !== undefined && { attention }),
    });
    const report = engine.report();
    const result = await engine.generate({ tokenIds: [1, 2, 3], maxTokens: 1 }).result();
    expect(report.attention.selectionLayersFrom).toBe(from);
    expect(result.attention.selectionLayersFrom).toBe(from);
    for (const notes of [report.notes, result.notes]) {
      if (from === "guess") expect(notes).toEqual([expect.stringContaining(GUESS)]);
      else expect(notes.filter((note) => note.includes("GUESS"))).toEqual([]);
    }
    await engine.close();
  });

  test("inspect names it too", async () => {
    const guessed = await inspectCheckpoint(bundledModelFolder(), { attention: "tidal-decode:budget=64" });
    expect(guessed.attention).toMatchObject({
      selectionLayersFrom: "guess",
      notes: [expect.stringContaining(GUESS)],
    });
    const own = await inspectCheckpoint(bundledModelFolder());
    expect(own.attention).toMatchObject({ selectionLayersFrom: "checkpoint", notes: [] });
  });
});

describe("cacheDtype on a CPU", () => {
  const open = (options: EngineOptions) =>
    openEngine({ model: bundledModelFolder(), contextLength: 256, threads: 1, ...options, backend: "wasm" });
  const prompt = { prompt: "io=26", maxTokens: 8, temperature: 0 } as const;

  test("q8 takes a scale and a byte per element, says so, and serves every policy", async () => {
    const engine = await open({ cacheDtype: "q8" });
    const plain = await open({});
    const { model, backend, notes } = engine.report();
    const { kvBytesPerToken } = plain.report().model;
    expect(plain.report().model.cacheDtype).toBe("f32");
    // heads of 64: 64 bytes and a scale of 4 in place of 256
    expect(model).toMatchObject({ cacheDtype: "q8", kvBytesPerToken: (kvBytesPerToken * 68) / 256 });
    expect(backend.maxKvCacheBytes).toBeLessThan(plain.report().backend.maxKvCacheBytes * 0.3);
    expect(notes.filter((note) => note.includes("cacheDtype"))).toEqual([]);
    for (const attention of [
      "full",
      ...["less-is-more", "tidal-decode", "streaming-llm", "oracle-top-k", "random-tokens"].map(
        (name) => `${name}:budget=24`,
      ),
      "quest:budget=32,page=16",
    ]) {
      const result = await engine.generate({ ...prompt, attention, maxTokens: 40, ignoreEos: true }).result();
      expect(result.tokenIds).toHaveLength(40);
    }
    await engine.close();
    await plain.close();
  });

  test("f16 is kept in f32, and a note says so", async () => {
    const engine = await open({ cacheDtype: "f16" });
    expect(engine.report().model.cacheDtype).toBe("f32");
    expect(engine.report().notes).toContain(
      "cacheDtype f16: this backend keeps keys and values in f32 instead",
    );
    await engine.close();
  });
});
