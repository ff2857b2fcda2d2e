/** What policies keep beside the cache: it is there before their first step, or their requests fail alone. */
import { afterEach, describe, expect, test } from "vitest";
import type { Capacity } from "../../src/backend/backend.ts";
import type { KeptMemory } from "../../src/backend/backend-kind.ts";
import { createReferenceBackend } from "../../src/backend/reference/reference-backend.ts";
import { wasmFactory } from "../../src/backend/wasm/open-wasm.ts";
import { BackendError, OutOfMemoryError } from "../../src/base/errors.ts";
import type { GenerationEngine } from "../../src/engine/engine.ts";
import { createWasmHost } from "../../src/node/wasm-host.ts";
import { openTiny, type TinyOptions } from "./tiny-engine.ts";

const tokenIds = Array.from({ length: 40 }, (_, i) => 3 + ((i * 37) % 300));
const base = { tokenIds, maxTokens: 16, temperature: 0, ignoreEos: true };
const SKETCH = "key-sketch:budget=16,dense-layers=0";
const SEER = "seer-attention-r:budget=8";
const QUEST = "quest:budget=8,page=4,dense-layers=1";

/** Bytes of the tiny model: 2 layers, 4 heads of 24; a page of 4 tokens. */
const PAGE_BYTES = 2 * 2 * 4 * 24 * 4 * 4;
const SKETCH_PAGE_BYTES = 2 * 4 * 4 * (4 + 1) * 4;
const PAGES = 48;
const CONTEXT_PAGES = 24;

const opened: GenerationEngine[] = [];
afterEach(async () => {
  for (const engine of opened.splice(0)) await engine.close();
});

async function open(options: TinyOptions = {}, factory = createReferenceBackend): Promise<GenerationEngine> {
  const engine = await openTiny(factory, options);
  opened.push(engine);
  return engine;
}

const limitOf = (sizeBytes: number) => (kept: KeptMemory) => ({
  name: `${sizeBytes} bytes of a test`,
  fits: (capacity: Capacity) => capacity.maxPages * PAGE_BYTES + kept.bytes(capacity) <= sizeBytes,
});

const WASM = wasmFactory(createWasmHost(), { threads: 1 });

describe.each([
  ["reference", createReferenceBackend],
  ["wasm", WASM],
] as const)("on %s", (_, factory) => {
  test("a policy whose data do not fit beside one whole context fails its request alone, with what to do", async () => {
    const bytes = CONTEXT_PAGES * PAGE_BYTES + PAGES * SKETCH_PAGE_BYTES - 1;
    const engine = await open({ limitWith: limitOf(bytes) }, factory);
    const beside = engine.generate(base);
    for (let i = 0; i < 2; i++) {
      const failing = engine.generate({ ...base, attention: SKETCH }).result();
      await expect(failing).rejects.toThrow(OutOfMemoryError);
      await expect(failing).rejects.toThrow(
        /^attention key-sketch: its data of cached tokens take .* beside the KV cache, for which there is no room: with a cache of 96 tokens it does not fit into the \d+ bytes of a test; open the engine with this attention, .*shorter contextLength$/,
      );
    }
    const scored = engine.score({ tokenIds, from: 30, attention: SKETCH });
    await expect(scored).rejects.toThrow(OutOfMemoryError);
    expect((await beside.result()).tokenIds).toHaveLength(16);
    expect((await engine.generate({ ...base, attention: QUEST }).result()).tokenIds).toHaveLength(16);
    expect((await engine.score({ tokenIds, from: 30 })).logProbs).toHaveLength(10);
  });

  test("pages that the pool does not have give way to a policy's data", async () => {
    const bytes = CONTEXT_PAGES * PAGE_BYTES + PAGES * SKETCH_PAGE_BYTES + 2 * PAGE_BYTES;
    const sizes: number[] = [];
    const limits = {
      limitWith: limitOf(bytes),
      pool: { firstPages: 4 },
      onResize: (n: number) => sizes.push(n),
    };
    const engine = await open(limits, factory);
    const request = { ...base, attention: SKETCH };
    expect((await engine.generate(request).result()).tokenIds).toHaveLength(16);
    const four = Array.from({ length: 4 }, () => engine.generate({ ...request, maxTokens: 56 }).result());
    for (const { tokenIds: tokens } of await Promise.all(four)) expect(tokens).toHaveLength(56);
    expect(Math.max(...sizes)).toBe(CONTEXT_PAGES + 2);
  });

  test("a policy that comes when the pool has grown fails, since memory of pages does not come back", async () => {
    const bytes = CONTEXT_PAGES * PAGE_BYTES + PAGES * SKETCH_PAGE_BYTES;
    const engine = await open({ limitWith: limitOf(bytes), pool: { firstPages: PAGES } }, factory);
    expect((await engine.generate(base).result()).tokenIds).toHaveLength(16);
    const failing = engine.generate({ ...base, attention: SKETCH }).result();
    await expect(failing).rejects.toThrow(/with a cache of 192 tokens it does not fit/);
  });
});

test.each([
  ["key-sketch", SKETCH],
  ["seer-attention-r", SEER],
  ["quest", QUEST],
])("%s: steps create no data of pages: the request has it before its first step", async (_, attention) => {
  const calls: string[] = [];
  const engine = await open({ onCall: (call) => calls.push(call) }, WASM);
  await engine.generate({ ...base, attention }).result();
  const kept = ["createPageTensor", "addPageBounds"];
  const firstStep = calls.indexOf("beginStep");
  expect(calls.slice(0, firstStep)).toContain("allocate");
  expect(calls.slice(firstStep).filter((call) => kept.includes(call))).toEqual([]);
});

test("memory that a machine refuses fails the request alone; the next one takes what is free then", async () => {
  let isShort = true;
  const engine = await open({}, async (model, capacity) => {
    const backend = await WASM(model, capacity);
    const createPageTensor = backend.createPageTensor.bind(backend);
    let made = 0;
    backend.createPageTensor = (dtype, shape) => {
      if (isShort && ++made === 2) throw new OutOfMemoryError("the machine refused");
      return createPageTensor(dtype, shape);
    };
    return backend;
  });
  const beside = engine.generate(base);
  const failing = engine.generate({ ...base, attention: SKETCH }).result();
  await expect(failing).rejects.toThrow(OutOfMemoryError);
  await expect(failing).rejects.toThrow("the machine refused");
  isShort = false;
  const right = await open({}, WASM);
  const request = { ...base, attention: SKETCH };
  expect((await engine.generate(request).result()).tokenIds).toEqual(
    (await right.generate(request).result()).tokenIds,
  );
  expect((await beside.result()).tokenIds).toHaveLength(16);
});

test("an error of the backend that is not of memory keeps its type", async () => {
  const engine = await open({}, async (model, capacity) => {
    const backend = await WASM(model, capacity);
    backend.createPageTensor = () => {
      throw new BackendError("something else");
    };
    return backend;
  });
  const failing = engine.generate({ ...base, attention: SKETCH }).result();
  await expect(failing).rejects.not.toBeInstanceOf(OutOfMemoryError);
  expect((await engine.generate(base).result()).tokenIds).toHaveLength(16);
});
