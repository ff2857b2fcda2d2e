/** A model that leaves memory and comes back with the next request, on real engines. */
import { afterEach, expect, test } from "vitest";
import { createReferenceBackend } from "../../src/backend/reference/reference-backend.ts";
import { AbortedError, BackendError, RequestError } from "../../src/base/errors.ts";
import type { LoadedEngine } from "../../src/engine/engine-api.ts";
import { ReopeningEngine } from "../../src/engine/reopening-engine.ts";
import { openTiny } from "./tiny-engine.ts";

const request = {
  tokenIds: Array.from({ length: 20 }, (_, i) => 3 + ((i * 53) % 300)),
  ...{ maxTokens: 12, temperature: 0, ignoreEos: true },
};
const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

/** An engine, and what was opened; `failing` openings fail before that. */
async function open(failing: { next: boolean } = { next: false }) {
  const opened: { readonly options: object; readonly engine: LoadedEngine }[] = [];
  const engine = await ReopeningEngine.start(
    { signal: new AbortController().signal, onDownload: () => {}, kept: 1 },
    async (options) => {
      if (failing.next) throw new BackendError("no memory");
      const one = await openTiny(createReferenceBackend);
      opened.push({ options, engine: one });
      return one;
    },
  );
  closing.push(() => engine.close());
  return { engine, opened };
}

test("a request after unload loads the model once and gets the same tokens, as do those that come with it", async () => {
  const { engine, opened } = await open();
  const expected = (await engine.generate(request).result()).tokenIds;
  await engine.unload();
  await engine.unload();
  expect(engine.stats()).toMatchObject({ running: 0, waiting: 0, pages: { total: 0 } });
  expect(engine.report().model.contextLength).toBeGreaterThan(0);
  const waiting = [engine.generate(request), engine.generate(request)];
  expect(waiting[0]?.progress).toMatchObject({ phase: "waiting", waitsFor: "the model to be loaded again" });
  expect(engine.stats().waiting).toBe(2);
  const parts: number[] = [];
  for await (const part of waiting[0] ?? []) parts.push(...part.tokenIds);
  expect(parts).toEqual(expected);
  expect((await waiting[1]?.result())?.tokenIds).toEqual(expected);
  expect(waiting[1]?.progress).toMatchObject({ phase: "done", generatedTokens: 12 });
  expect(opened.map(({ options }) => Object.keys(options))).toEqual([
    ["signal", "onDownload", "kept"],
    ["kept"],
  ]);
  expect(engine.stats().pages.total).toBeGreaterThan(0);
});

test("logits and scores load it as well", async () => {
  const { engine, opened } = await open();
  const scored = { tokenIds: request.tokenIds, from: 10 };
  const expected = [await engine.logits(request.tokenIds), (await engine.score(scored)).logProbs];
  await engine.unload();
  const logits = await engine.logits(request.tokenIds);
  await engine.unload();
  expect([logits, (await engine.score(scored)).logProbs]).toEqual(expected);
  expect(opened).toHaveLength(3);
});

test("it stays while requests run, and says how many", async () => {
  const { engine } = await open();
  const generation = engine.generate({ ...request, maxTokens: 60 });
  const refused = await engine.unload().catch((error: unknown) => error);
  expect(refused).toBeInstanceOf(RequestError);
  expect(String(refused)).toMatch(/1 requests run or wait/);
  await generation.result();
  await engine.unload();
});

test("a failed opening fails who waited for it, and the next request tries again", async () => {
  const failing = { next: false };
  const { engine } = await open(failing);
  await engine.unload();
  failing.next = true;
  const generation = engine.generate(request);
  await expect(generation.result()).rejects.toThrow("no memory");
  expect(generation.progress.phase).toBe("done");
  failing.next = false;
  expect((await engine.generate(request).result()).tokenIds).toHaveLength(12);
});

test("an impossible request throws at once, an aborted one does not wait for the model", async () => {
  const { engine } = await open();
  await engine.unload();
  expect(() => engine.generate({ ...request, topP: 7 })).toThrow(RequestError);
  const generation = engine.generate({ ...request, signal: AbortSignal.abort() });
  await expect(generation.result()).rejects.toBeInstanceOf(AbortedError);
  await engine.close();
  expect(() => engine.generate(request)).toThrow(/closed/);
  await expect(engine.logits(request.tokenIds)).rejects.toThrow(/closed/);
  await expect(engine.unload()).rejects.toThrow(/closed/);
});

test("an engine that has failed is given up by unload, and the next request gets another", async () => {
  let numOpened = 0;
  let isBroken = false;
  const engine = await ReopeningEngine.start({}, () => {
    const isFirst = numOpened++ === 0;
    return openTiny(createReferenceBackend, {
      onCall: (step) => {
        if (isFirst && isBroken && step === "beginStep") throw new BackendError("the device is lost");
      },
    });
  });
  closing.push(() => engine.close());
  const expected = (await engine.generate(request).result()).tokenIds;
  expect(engine.failure).toBeUndefined();
  isBroken = true;
  await expect(engine.generate(request).result()).rejects.toThrow("the device is lost");
  expect(engine.failure).toMatchObject({ message: expect.stringContaining("the device is lost") });
  await expect(engine.generate(request).result()).rejects.toThrow("the device is lost");
  await engine.unload();
  expect(engine.failure).toBeUndefined();
  expect((await engine.generate(request).result()).tokenIds).toEqual(expected);
  expect(numOpened).toBe(2);
});

test("a request that has not heard of the failure does not keep a failed engine", async () => {
  const { engine, opened } = await open();
  const unheard = engine.generate({ ...request, maxTokens: 60 });
  Object.defineProperty(opened[0]?.engine, "failure", { value: new BackendError("the device is lost") });
  await engine.unload();
  await expect(unheard.result()).rejects.toThrow("the engine was closed");
  expect((await engine.generate(request).result()).tokenIds).toHaveLength(12);
});

test("a close that fails is told to its caller, and the next request is answered", async () => {
  let numOpened = 0;
  const engine = await ReopeningEngine.start({}, async () => {
    const one = await openTiny(createReferenceBackend);
    if (numOpened++ > 0) return one;
    const close = one.close.bind(one);
    one.close = () => close().then(() => Promise.reject(new BackendError("the device hangs")));
    return one;
  });
  closing.push(() => engine.close());
  await expect(engine.unload()).rejects.toThrow("the device hangs");
  expect((await engine.generate(request).result()).tokenIds).toHaveLength(12);
});
