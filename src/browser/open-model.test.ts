import { beforeEach, describe, expect, inject, test } from "vitest";
import { ModelFileError } from "../base/errors.ts";
import type { DownloadProgress } from "../load/hub/transfer-rate.ts";
import { listModels, openEngine, removeModel } from "./index.ts";
import { type OpenModelOptions, openModel } from "./open-model.ts";
import { makeFolder, readFile, writeFile } from "./opfs-files.ts";
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

async function storedFolder(): Promise<FileSystemDirectoryHandle> {
  return makeFolder(await navigator.storage.getDirectory(), "lessismore", "models--org--cut");
}

/** The folder of the large file's parts. */
async function bigBlob(): Promise<FileSystemDirectoryHandle> {
  const blobs = await makeFolder(await storedFolder(), "blobs");
  for (const name of await namesIn(blobs)) {
    const blob = await makeFolder(blobs, name);
    if ((await namesIn(blob)).includes("19")) return blob;
  }
  throw new Error("no blob of 20 parts");
}

async function namesIn(folder: FileSystemDirectoryHandle): Promise<string[]> {
  const names: string[] = [];
  for await (const name of folder.keys()) names.push(name);
  return names;
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
    expect(starts[0]).toBeGreaterThan(8_500_000); // Behind the parts that the first download kept: one and a bit are lost.
    expect((starts[0] ?? 1) % (1 << 20)).toBe(0);
    expect(starts.length).toBeGreaterThanOrEqual((BIG.length - (starts[0] ?? 0)) / 3_000_000);
    const steps = starts.slice(1).map((start, i) => start - (starts[i] ?? 0));
    expect(steps.every((step) => step > 0 && step <= 3_000_000)).toBe(true); // At the byte where the last one was cut.
  });

  test("in parts of another size, as an earlier version kept them, is fetched anew", async () => {
    await open("org/cut");
    const blob = await bigBlob();
    for (const name of await namesIn(blob)) await blob.removeEntry(name);
    for (const [part, size] of [8 << 20, 8 << 20, 4 << 20].entries())
      await writeFile(blob, String(part), BIG.slice(part * (8 << 20), part * (8 << 20) + size));
    await writeFile(blob, "whole", String(BIG.length));
    const snapshots = await makeFolder(await storedFolder(), "snapshots");
    for (const commit of await namesIn(snapshots)) {
      const { partBytes: _, ...rest } = JSON.parse((await (await readFile(snapshots, commit))?.text()) ?? "");
      await writeFile(snapshots, commit, JSON.stringify(rest));
    }
    await seen();
    expect(await isBig(await open("org/cut"))).toBe(true);
    expect((await seen()).some(({ kind }) => kind === "store")).toBe(true);
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
