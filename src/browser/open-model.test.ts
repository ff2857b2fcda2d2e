import { beforeEach, describe, expect, inject, test } from "vitest";
import { ModelFileError } from "../base/errors.ts";
import type { DownloadProgress } from "../load/hub/transfer-rate.ts";
import { listModels, openEngine, removeModel } from "./index.ts";
import { type OpenModelOptions, openModel } from "./open-model.ts";
import { writeFile } from "./opfs-files.ts";
import { OpfsStore } from "./opfs-store.ts";

const HUB = inject("hubUrl");
const open = (model: string, options: OpenModelOptions = {}) =>
  openModel(model, { hubUrl: HUB, retry: { pauseMs: 5 }, ...options });
const seen = async (): Promise<{ kind: string; range?: string; authorization?: string }[]> =>
  (await fetch(`${HUB}/seen`)).json();

beforeEach(async () => {
  for (const { name } of await listModels()) await removeModel(name);
  await seen();
});

/** The content of the hub's large file (test/hub/browser-hub.ts). */
const BIG = new Uint8Array(20 << 20).map((_, i) => (i >>> 10) ^ i);

async function isBig(opened: Awaited<ReturnType<typeof open>>): Promise<boolean> {
  const source = await opened.folder.open("model.safetensors");
  const bytes = await source?.read(0, source.sizeBytes);
  return bytes?.length === BIG.length && bytes.every((byte, i) => byte === BIG[i]);
}

describe("a model of the hub in a browser", () => {
  test("is fetched into the page's files, runs, and is there the next time and offline", async () => {
    const tokenIds = [20, 57, 94, 131];
    const progress: DownloadProgress[] = [];
    const greedy = async (model: string) => {
      const engine = await openEngine({
        ...{ model, hubUrl: HUB, backend: "wasm", contextLength: 64 },
        onDownload: (one) => progress.push(one),
      });
      const result = await engine
        .generate({ tokenIds, maxTokens: 8, temperature: 0, ignoreEos: true })
        .result();
      await engine.close();
      return result.tokenIds;
    };
    const expected = await greedy("/models/pico-reasoner");
    expect(await greedy("org/pico")).toEqual(expected);
    const { doneBytes, totalBytes } = progress.at(-1) ?? {};
    expect([doneBytes, (doneBytes ?? 0) > 10_000_000]).toEqual([totalBytes, true]);
    const [stored] = await listModels();
    expect(stored).toMatchObject({ name: "org/pico" });
    expect(stored?.sizeBytes).toBeGreaterThan(10_000_000);
    await seen();
    expect(await greedy("org/pico")).toEqual(expected);
    expect((await seen()).map(({ kind }) => kind)).toEqual(["revision"]);
    const offline = await openModel("org/pico", {
      hubUrl: "http://127.0.0.1:1",
      retry: { attempts: 1 },
    }).catch(String);
    expect(offline).toMatchObject({ notes: [expect.stringContaining("the hub did not answer")] });
  });

  test("whose transfers are cut goes on where they ended, in a later download too", async () => {
    const controller = new AbortController();
    const first = open("org/cut", {
      connections: 1,
      signal: controller.signal,
      onDownload: ({ doneBytes }) => doneBytes > 10_000_000 && controller.abort(),
    });
    await expect(first).rejects.toThrow("aborted");
    await seen();
    expect(await isBig(await open("org/cut", { connections: 1 }))).toBe(true);
    const starts = (await seen())
      .filter(({ kind }) => kind === "store")
      .map(({ range }) => Number(/\d+/.exec(range ?? "")?.[0]));
    const firstPart = 8 << 20;
    expect(starts.slice(0, 3)).toEqual([firstPart, firstPart + 3_000_000, firstPart + 6_000_000]);
  });

  test("of two pages at once is fetched once", async () => {
    await Promise.all([open("org/pico"), open("org/pico")]);
    const starts = (await seen()).filter(({ kind }) => kind === "store").map(({ range }) => range);
    expect(starts.length).toBeGreaterThan(0);
    expect(new Set(starts).size).toBe(starts.length);
  });

  test("with wrong bytes is not kept", async () => {
    await expect(open("org/wrong")).rejects.toThrow(/sha256 .* not kept/);
    await expect(open("org/wrong")).rejects.toThrow(ModelFileError);
    const [stored] = await listModels();
    expect(stored?.sizeBytes ?? 0).toBeLessThan(1000);
  });

  test("that is gated says so, and sends the token to the hub alone", async () => {
    await expect(open("org/gated", { hubToken: "hf_x" })).rejects.toThrow("accept its licence");
    await open("org/pico", { hubToken: "hf_x" });
    const requests = await seen();
    expect(
      requests
        .filter(({ kind }) => kind === "store")
        .every(({ authorization }) => authorization === undefined),
    ).toBe(true);
    expect(requests.some(({ authorization }) => authorization === "Bearer hf_x")).toBe(true);
  });

  test("is not asked for where the page's own server has a model of that name", async () => {
    history.replaceState(null, "", "/");
    const opened = await open("models/pico-reasoner");
    expect(opened.folder.name).toBe(`${location.origin}/models/pico-reasoner`);
    expect(await seen()).toEqual([]);
  });
});

describe("space", () => {
  test("that the browser does not grant is said before anything is fetched", async () => {
    const store = await OpfsStore.open();
    await expect(store.checkSpace(1e15)).rejects.toThrow(
      /takes 1000000.00 GB, and the browser grants .*removeModel.*persist\(\)/,
    );
    await store.checkSpace(1000);
  });

  test("that ends while a part is written is said with what to do", async () => {
    const full = new DOMException("no space", "QuotaExceededError");
    const writable = { write: async () => Promise.reject(full), abort: async () => {} };
    const handle = { createWritable: async () => writable };
    const folder = { getFileHandle: async () => handle } as unknown as FileSystemDirectoryHandle;
    await expect(writeFile(folder, "0", "x")).rejects.toThrow(/grants no more space: remove models/);
  });
});
