/** Opening of a checkpoint: aborts, the context, and the notes of the report. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test, vi } from "vitest";
import { memoryFolder } from "../test/golden/memory-folder.ts";
import { repositoryPath } from "../test/golden/open-fixture.ts";
import { sizesOf } from "../test/sizes.ts";
import { createReferenceBackend } from "./backend/reference/reference-backend.ts";
import { AbortedError, BackendError, ConfigError, ModelFileError, OutOfMemoryError } from "./base/errors.ts";
import type { FileFolder } from "./load/byte-source.ts";
import { openDawn } from "./node/dawn.ts";
import { inspectFolder, openEngine } from "./node/index.ts";
import { createWasmHost } from "./node/wasm-host.ts";
import { openEngineWith } from "./open.ts";
import type { EngineOptions } from "./open-options.ts";

const HF = repositoryPath("test/golden/hf");

/** Creates a golden checkpoint in memory, with changed values of its config and changed files. */
function checkpoint(
  name: string,
  config: object = {},
  files: Record<string, object | string | Uint8Array> = {},
) {
  const folder = join(HF, name);
  const read = Object.fromEntries(
    readdirSync(folder).map((file) => [file, new Uint8Array(readFileSync(join(folder, file)))]),
  );
  const own = JSON.parse(readFileSync(join(folder, "config.json"), "utf8"));
  return memoryFolder({ ...read, "config.json": { ...own, ...config }, ...files });
}

const open = (folder: FileFolder, options: EngineOptions = {}) =>
  openEngineWith({ folder, wasm: createWasmHost(), openGpu: openDawn }, { backend: "reference", ...options });

const SMALL = "qwen3-yarn-left-alone";

describe("the signal", () => {
  test("aborts at every read of a file, and closes all files", async () => {
    const count = async (abortAt: number) => {
      const folder = checkpoint(SMALL);
      const stop = new AbortController();
      let reads = 0;
      const counting: FileFolder = {
        ...folder,
        open: async (path) => {
          const source = await folder.open(path);
          if (!source) return undefined;
          const read = (offset: number, length: number) => {
            if (++reads === abortAt) stop.abort();
            return source.read(offset, length);
          };
          return { ...source, read };
        },
      };
      const opening = open(counting, { signal: stop.signal, threads: 1, backend: "wasm" });
      if (abortAt > 0) {
        await expect(opening, `read ${abortAt}`).rejects.toThrow(AbortedError);
        await new Promise((resolve) => setTimeout(resolve));
      } else await (await opening).close();
      expect(folder.opened.size).toBe(0);
      return reads;
    };
    const all = await count(0);
    expect(all).toBeGreaterThan(20);
    for (const at of [1, 2, 3, 4, 5, 6, all - 1, all]) expect(await count(at)).toBe(at);
  });

  test("refuses at once if already aborted, and does not affect the engine if aborted after opening", async () => {
    const model = join(HF, SMALL);
    await expect(openEngine({ model, backend: "reference", signal: AbortSignal.abort() })).rejects.toThrow(
      AbortedError,
    );
    const stop = new AbortController();
    const engine = await openEngine({ model, backend: "reference", signal: stop.signal });
    stop.abort();
    expect(await engine.logits([1])).toHaveLength(320);
    await engine.close();
  });

  test("ends the wait for a backend, and closes the backend when it opens late", async () => {
    const stop = new AbortController();
    let isAsked = false;
    const openGpu = async () => {
      isAsked = true;
      setTimeout(() => stop.abort());
      return new Promise<GPU>(() => {});
    };
    const host = { folder: checkpoint(SMALL), wasm: createWasmHost(), openGpu };
    await expect(openEngineWith(host, { backend: "webgpu", signal: stop.signal })).rejects.toThrow(
      AbortedError,
    );
    expect(isAsked).toBe(true);
  });
});

describe("the context", () => {
  const yarn = { rope_type: "yarn", factor: 4, original_max_position_embeddings: 32 };

  test("is exactly the scaled length, with a note in the report and in inspect", async () => {
    const folder = checkpoint(SMALL, { max_position_embeddings: 40, rope_scaling: yarn });
    const engine = await open(folder);
    const note = 'RoPE scaling "yarn" by 4 makes it of 32; max_position_embeddings is 40';
    expect(engine.report().model).toMatchObject({ contextLength: 128, maxPositionEmbeddings: 40 });
    expect(engine.report().contextNote).toContain(note);
    expect(await engine.logits(Array(127).fill(1))).toHaveLength(127 * 320);
    await engine.close();
    expect(await inspectFolder(folder)).toMatchObject({
      contextLength: 128,
      contextNote: expect.stringContaining(note),
    });
    await expect(open(folder, { contextLength: 129 })).rejects.toThrow(ConfigError);
    await expect(open(folder, { contextLength: 129 })).rejects.toThrow(note);
  });

  test("has no note if requested within max_position_embeddings", async () => {
    const engine = await open(checkpoint(SMALL), { contextLength: 64 });
    expect(engine.report().contextNote).toBeUndefined();
    await engine.close();
  });

  test("of a hostile config stays within the limit of the reference backend", async () => {
    const engine = await open(
      checkpoint(SMALL, { max_position_embeddings: 2 ** 31 - 1, rope_scaling: null }),
    );
    expect(engine.report().model.contextLength).toBeLessThan(2 ** 26);
    expect(engine.report().contextNote).toContain("that the reference backend may hold");
    await engine.close();
    const folder = checkpoint(SMALL, { max_position_embeddings: 2 ** 31 - 1, rope_scaling: null });
    await expect(open(folder, { contextLength: 2 ** 31 - 1 })).rejects.toThrow("the longest that fits");
  });
});

test("report and inspect name unused tensors and ignored values", async () => {
  const bytes = new Uint8Array(readFileSync(join(HF, SMALL, "model.safetensors")));
  const headerEnd = 8 + Number(new DataView(bytes.buffer).getBigUint64(0, true));
  const header = JSON.parse(Buffer.from(bytes.subarray(8, headerEnd)).toString());
  const end = bytes.length - headerEnd;
  header["visual.patch_embed.weight"] = { dtype: "BF16", shape: [2, 3], data_offsets: [end, end + 12] };
  const text = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  const weights = new Uint8Array(Buffer.concat([length, text, bytes.subarray(headerEnd), Buffer.alloc(12)]));
  const folder = checkpoint(
    SMALL,
    {},
    { "model.safetensors": weights, "generation_config.json": { num_beams: 4 } },
  );
  const ignoredTensors = { count: 1, names: ["visual.patch_embed.weight"] };
  const notes = ["what memory recommends for generation is not followed: num_beams 4"];
  const engine = await open(folder, { contextLength: 64 });
  expect(engine.report()).toMatchObject({ model: { ignoredTensors }, notes });
  await engine.close();
  expect(await inspectFolder(folder)).toMatchObject({ ignoredTensors, notes });
});

test("a checkpoint's attention spec is checked only by requests that use it", async () => {
  const folder = checkpoint(SMALL, {}, { "generation_config.json": { sparse_attention: "quest:budget=x" } });
  await expect(open(folder)).rejects.toThrow(ConfigError);
  const engine = await open(folder, { attention: "full" });
  expect(() => engine.generate({ tokenIds: [1], attention: "quest:budget=64" })).toThrow(
    "budget must be a number",
  );
  const { tokenIds } = await engine
    .generate({ tokenIds: [1], maxTokens: 2, attention: "streaming-llm:budget=64" })
    .result();
  expect(tokenIds).toHaveLength(2);
  await engine.close();
});

test("a checkpoint opens if its index names a missing tensor that the model does not need", async () => {
  const weights = new Uint8Array(readFileSync(join(HF, SMALL, "model.safetensors")));
  const names = ["model.embed_tokens.weight", "a.tensor.nobody.needs"];
  const folder = checkpoint(
    SMALL,
    {},
    {
      "model.safetensors.index.json": {
        weight_map: Object.fromEntries(names.map((name) => [name, "s.safetensors"])),
      },
      "s.safetensors": weights,
    },
  );
  const sharded: FileFolder = {
    ...folder,
    open: async (path) => (path === "model.safetensors" ? undefined : folder.open(path)),
  };
  const engine = await open(sharded);
  expect(await engine.logits([1])).toHaveLength(320);
  await engine.close();
});

test.each<[string, object, string]>([
  [
    "layers",
    { num_hidden_layers: 2 ** 32 },
    "num_hidden_layers is 4294967296; expected a whole number above 0",
  ],
  ["layers within bounds", { num_hidden_layers: 4000, layer_types: null }, "layers.2."],
  ["heads", { head_dim: 2 ** 30 }, "head_dim is 1073741824; expected a whole number above 0, at most 65536"],
  ["a vocabulary", { vocab_size: 2 ** 31 - 1 }, "config.json asks for"],
  ["a width", { hidden_size: 2 ** 31 - 1, head_dim: 16 }, "config.json asks for"],
  [
    "products past 2^53",
    { num_attention_heads: 2 ** 30, num_key_value_heads: 1, head_dim: 65536 },
    "asks for",
  ],
])("%s that no tensor has are refused from the headers, before any allocation", async (_, config, message) => {
  const opening = open(checkpoint(SMALL, config));
  await expect(opening).rejects.toThrow(message);
  const error: unknown = await opening.catch((cause: unknown) => cause);
  expect(error instanceof ConfigError || error instanceof ModelFileError).toBe(true);
});

test("the reference backend refuses sizes beyond its limit before it allocates", async () => {
  const sizes = {
    numLayers: 2,
    hiddenSize: 8,
    intermediateSize: 8,
    numQueryHeads: 2,
    numKvHeads: 1,
    headDim: 4,
    vocabSize: 8,
    rmsNormEps: 1e-6,
    pageSize: 4,
    maxPages: 4,
    maxSequenceLength: 16,
    maxBatchRows: 4,
    maxBatchSequences: 1,
  };
  for (const change of [
    { maxPages: 2 ** 40 },
    { numLayers: 2 ** 40 },
    { headDim: 2 ** 52, attentionScale: 2 ** -26, maxPages: 2 ** 30 },
  ]) {
    const [model, capacity] = sizesOf(sizes);
    const opening = createReferenceBackend({ ...model, ...change }, { ...capacity, ...change });
    await expect(opening).rejects.toThrow(BackendError);
    await expect(opening).rejects.toThrow("at most 16384 MiB are allowed");
  }
  const backend = await createReferenceBackend(...sizesOf(sizes));
  for (const size of [2 ** 31 + 1, 2 ** 50, Number.POSITIVE_INFINITY, Number.NaN]) {
    expect(() =>
      backend.createWeight({ kind: "matrix", name: "w", format: "f32", rows: size, cols: 1 }),
    ).toThrow(BackendError);
    expect(() => backend.createTensor("f32", [size, 1])).toThrow("expected at most 2147483648 elements");
  }
  await backend.close();
});

describe("auto, where the machine refuses memory", () => {
  const attempts = async (folder: FileFolder, options: EngineOptions = {}) => {
    let loads = 0;
    const wasm = createWasmHost();
    const loadModule: typeof wasm.loadModule = (name) => {
      loads++;
      return wasm.loadModule(name);
    };
    const grow = vi.spyOn(WebAssembly.Memory.prototype, "grow").mockImplementation(() => {
      throw new RangeError("no memory");
    });
    try {
      const opening = openEngineWith(
        { folder, wasm: { ...wasm, loadModule }, openGpu: openDawn },
        { backend: "wasm", threads: 1, ...options },
      );
      await expect(opening).rejects.toThrow(OutOfMemoryError);
    } finally {
      grow.mockRestore();
    }
    return loads;
  };

  test("tries q8 once, and no precision that was named", async () => {
    expect(await attempts(checkpoint(SMALL))).toBe(2);
    expect(await attempts(checkpoint(SMALL), { dtype: "own" })).toBe(1);
  });
});
