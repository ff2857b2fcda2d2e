/** Requests whose policy owns weights: they wait for them, share them, and fail alone. */
import { afterEach, expect, test } from "vitest";
import { createReferenceBackend } from "../../src/backend/reference/reference-backend.ts";
import { BackendError, ConfigError, ModelFileError, OutOfMemoryError } from "../../src/base/errors.ts";
import type { GenerationEngine } from "../../src/engine/engine.ts";
import type { GenerationRequest } from "../../src/engine/request.ts";
import { memoryFolder } from "../golden/memory-folder.ts";
import { openTiny, type TinyOptions } from "./tiny-engine.ts";
import { tinyGates } from "./tiny-gate.ts";

const tokenIds = Array.from({ length: 40 }, (_, i) => 3 + ((i * 37) % 300));
const base = { tokenIds, maxTokens: 16, temperature: 0, ignoreEos: true };
const SEER = "seer-attention-r:budget=8";

const opened: GenerationEngine[] = [];
afterEach(async () => {
  for (const engine of opened.splice(0)) await engine.close();
});

async function open(options: TinyOptions = {}): Promise<GenerationEngine> {
  const engine = await openTiny(createReferenceBackend, options);
  opened.push(engine);
  return engine;
}

const tokensOf = async (engine: GenerationEngine, request: GenerationRequest) =>
  (await engine.generate(request).result()).tokenIds;

test("requests beside others, in one batch and alone, get the same tokens; one location is opened once", async () => {
  const gates = tinyGates();
  const engine = await open({ gates });
  const requests = [
    SEER,
    "full",
    `${SEER},gate=blocks-of-4`,
    SEER,
    "quest:budget=8,page=4,dense-layers=1",
  ].map((attention) => ({
    ...base,
    attention,
  }));
  const alone: (readonly number[])[] = [];
  for (const request of requests) alone.push(await tokensOf(engine, request));
  expect(await Promise.all(requests.map((request) => tokensOf(engine, request)))).toEqual(alone);
  expect(gates.opened).toEqual([undefined, "blocks-of-4"]);
  // the gates decide: each other policy decodes something else
  expect(new Set(alone.map(String)).size).toBe(4);
});

test("generate returns at once, before the gate is read, and the request waits for it", async () => {
  let arrive: () => void = () => {};
  const gates = tinyGates();
  const late = new Promise<void>((resolve) => {
    arrive = resolve;
  });
  const engine = await open({
    gates: { ...gates, openFolder: async (location) => late.then(() => gates.openFolder(location)) },
  });
  const waiting = engine.generate({ ...base, attention: SEER });
  const other = await tokensOf(engine, { ...base, attention: "full" });
  expect(other).toHaveLength(16);
  const result = waiting.result();
  expect(await Promise.race([result.then(() => "done"), tokensOf(engine, base).then(() => "waiting")])).toBe(
    "waiting",
  );
  arrive();
  expect((await result).tokenIds).toHaveLength(16);
});

test.each<[string, string, RegExp, typeof ConfigError | typeof ModelFileError]>([
  ["an empty folder", "gate=empty", /neither seer-attention-gates/, ModelFileError],
  [
    "blocks that are no whole pages",
    "gate=blocks-of-6",
    /blocks of 6 tokens, no multiple of .* page size 4/,
    ConfigError,
  ],
  ["a budget below a block", "budget=7", /a budget of 7 holds no block of 8 tokens/, ConfigError],
])("%s fails its request alone, and the next one tries again", async (_, settings, message, kind) => {
  const gates = tinyGates();
  const engine = await open({ gates });
  const attention = `seer-attention-r:${settings}`;
  const beside = engine.generate({ ...base, attention: SEER });
  for (let i = 0; i < 2; i++) {
    const failing = engine.generate({ ...base, attention }).result();
    await expect(failing).rejects.toThrow(message);
    await expect(failing).rejects.toBeInstanceOf(kind);
  }
  expect((await beside.result()).tokenIds).toHaveLength(16);
});

test("a gate that the backend has no memory for fails its requests, and is tried again by the next", async () => {
  const backend: { made: number } = { made: 0 };
  const engine = await openTiny(
    async (model, capacity) => {
      const right = await createReferenceBackend(model, capacity);
      const createPageTensor = right.createPageTensor.bind(right);
      right.createPageTensor = (dtype, shape) => {
        if (shape.length === 3 && ++backend.made <= 3 && backend.made > 1)
          throw new BackendError("no memory for pools");
        return createPageTensor(dtype, shape);
      };
      return right;
    },
    { gates: tinyGates() },
  );
  opened.push(engine);
  for (let made = 2; made <= 3; made++) {
    const failing = engine.generate({ ...base, attention: SEER }).result();
    await expect(failing).rejects.toThrow(OutOfMemoryError);
    await expect(failing).rejects.toThrow(
      /^attention seer-attention-r: the gate .* and its data of cached tokens take .*: no memory for pools; open the engine with/,
    );
    backend.made = made;
    expect(await tokensOf(engine, base)).toHaveLength(16);
  }
  expect(await tokensOf(engine, { ...base, attention: SEER })).toHaveLength(16);
});

test("no gate beside the model: the error says how to name one", async () => {
  const engine = await open({ gates: tinyGates(memoryFolder({})) });
  await expect(engine.generate({ ...base, attention: SEER }).result()).rejects.toThrow(
    /no seer-attention-gates\.safetensors beside the model memory; .*seer-attention-r:gate=PATH/,
  );
});

test("the engine's own attention loads its gate when the engine is prepared, and fails there", async () => {
  const gates = tinyGates();
  const engine = await open({ gates, attention: SEER });
  await engine.prepare();
  expect(gates.opened).toEqual([undefined]);
  expect(await tokensOf(engine, base)).toEqual(await tokensOf(engine, { ...base, attention: SEER }));
  const failing = await open({ attention: "seer-attention-r:gate=empty" });
  await expect(failing.prepare()).rejects.toThrow(ModelFileError);
});

test("an aborted request leaves its gate loading, and the engine closes", async () => {
  const gates = tinyGates();
  const engine = await open({ gates });
  const abort = new AbortController();
  const generation = engine.generate({ ...base, attention: SEER, signal: abort.signal });
  abort.abort();
  await expect(generation.result()).rejects.toThrow(/abort/);
  expect(await tokensOf(engine, { ...base, attention: SEER })).toHaveLength(16);
});

test("scoreEach gives each policy the log-probabilities that it has alone; policies of one gate share a prefill", async () => {
  const gates = tinyGates();
  const engine = await open({ gates, sizes: { maxSequenceLength: 96, maxPages: 120 } });
  const specs = [SEER, "quest:budget=8,page=4,dense-layers=1", "full", "seer-attention-r:budget=16"];
  const request = { tokenIds: [...tokenIds, ...tokenIds], from: 40 };
  for (const attentions of [specs, [...specs, `${SEER},gate=blocks-of-4`]]) {
    const together = await engine.scoreEach({ ...request, attentions });
    for (const [i, attention] of attentions.entries()) {
      const alone = await engine.score({ ...request, attention });
      expect(together[i]?.logProbs, attention).toEqual(alone.logProbs);
      expect(together[i]?.attendedFraction, attention).toBe(alone.attendedFraction);
    }
    expect(new Set(together.map(({ logProbs }) => String(logProbs))).size).toBe(attentions.length);
  }
  await expect(engine.score({ ...request, attention: "seer-attention-r:gate=empty" })).rejects.toThrow(
    ModelFileError,
  );
});
