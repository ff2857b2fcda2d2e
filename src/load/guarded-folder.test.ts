import { describe, expect, test } from "vitest";
import { memoryFolder, memorySource, safetensorsFile } from "../../test/golden/memory-folder.ts";
import { AbortedError, EngineError, ModelFileError } from "../base/errors.ts";
import type { ByteSource, FileFolder } from "./byte-source.ts";
import { openCheckpoint } from "./checkpoint.ts";
import { createFileListFolder } from "./file-list-folder.ts";
import { guardFolder } from "./guarded-folder.ts";

const FILES = {
  "config.json": { model_type: "llama" },
  "model.safetensors": safetensorsFile({ a: { dtype: "F32", shape: [1], data_offsets: [0, 4] } }, 4),
};
const PLACES = ["config.json", "model.safetensors"] as const;

/** Creates a folder in which `change` replaces the source of one file. */
function withSource(place: string, change: (source: ByteSource) => object | undefined): FileFolder {
  const folder = memoryFolder(FILES);
  return {
    ...folder,
    open: async (path) => {
      const source = await folder.open(path);
      return path === place && source ? (change(source) as ByteSource | undefined) : source;
    },
  };
}

const reading = (read: (bytes: Uint8Array) => unknown) => (source: ByteSource) => ({
  ...source,
  read: async (offset: number, length: number) => read(await source.read(offset, length)),
});

describe.each(PLACES)("a caller's source for %s", (place) => {
  test.each<[string, (source: ByteSource) => object | undefined]>([
    ["returns fewer bytes", reading((bytes) => bytes.subarray(1))],
    ["returns more bytes", reading((bytes) => Buffer.concat([bytes, Buffer.of(32)]))],
    ["returns undefined", reading(() => undefined)],
    ["returns a text", reading((bytes) => String.fromCharCode(...bytes))],
    ["returns an ArrayBuffer", reading((bytes) => bytes.slice().buffer)],
    [
      "throws",
      (source) => ({
        ...source,
        read: () => {
          throw new RangeError("no");
        },
      }),
    ],
    ["rejects with undefined", (source) => ({ ...source, read: () => Promise.reject(undefined) })],
    ["claims a negative size", (source) => ({ ...source, sizeBytes: -1 })],
    ["claims no size", (source) => ({ ...source, sizeBytes: undefined })],
    ["claims a text as its size", (source) => ({ ...source, sizeBytes: "9" })],
    ["has no read", ({ name, sizeBytes }) => ({ name, sizeBytes })],
    ["fails to close", (source) => ({ ...source, close: () => Promise.reject(new Error("no")) })],
  ])("that %s causes a ModelFileError", async (what, change) => {
    const opening = openCheckpoint(withSource(place, change));
    const ending = what === "fails to close" ? opening.then((checkpoint) => checkpoint.close()) : opening;
    await expect(ending).rejects.toThrow(ModelFileError);
  });
});

test("a folder that throws, or returns something else than a source, causes an EngineError", async () => {
  for (const open of [
    () => {
      throw new TypeError("no");
    },
    () => Promise.reject("no"),
    async () => 5,
    async () => ({}),
  ]) {
    const folder = { name: "theirs", open } as unknown as FileFolder;
    await expect(openCheckpoint(folder)).rejects.toThrow(EngineError);
    await expect(openCheckpoint(folder)).rejects.toThrow("theirs/config.json");
  }
});

describe("the signal", () => {
  test("opens no file if it is already aborted", async () => {
    const folder = memoryFolder(FILES);
    const opening = openCheckpoint(folder, { signal: AbortSignal.abort("why") });
    await expect(opening).rejects.toThrow(AbortedError);
    await expect(opening).rejects.toMatchObject({ cause: "why" });
    expect(folder.opened.size).toBe(0);
  });

  test.each(PLACES)("ends a hanging open of %s, and closes the file when it opens late", async (place) => {
    const folder = memoryFolder(FILES);
    const stop = new AbortController();
    let arrive: () => void = () => {};
    const slow: FileFolder = {
      ...folder,
      open: async (path) => {
        if (path === place) {
          setTimeout(() => stop.abort());
          await new Promise<void>((resolve) => {
            arrive = resolve;
          });
        }
        return folder.open(path);
      },
    };
    await expect(openCheckpoint(slow, { signal: stop.signal })).rejects.toThrow(AbortedError);
    arrive();
    await new Promise((resolve) => setTimeout(resolve, 10));
    expect(folder.opened.size).toBe(0);
  });

  test.each(PLACES)("ends a hanging read of %s, and closes the file", async (place) => {
    const stop = new AbortController();
    const folder = memoryFolder(FILES);
    const stuck: FileFolder = {
      ...folder,
      open: async (path) => {
        const source = await folder.open(path);
        if (path !== place || !source) return source;
        const read = () => {
          setTimeout(() => stop.abort());
          return new Promise<Uint8Array>(() => {});
        };
        return { ...source, read };
      },
    };
    await expect(openCheckpoint(stuck, { signal: stop.signal })).rejects.toThrow(AbortedError);
    expect(folder.opened.size).toBe(0);
  });

  test("leaves no listener behind", async () => {
    const stop = new AbortController();
    let listeners = 0;
    const { signal } = stop;
    const add = signal.addEventListener.bind(signal);
    const remove = signal.removeEventListener.bind(signal);
    signal.addEventListener = (...given: Parameters<typeof add>) => {
      listeners++;
      add(...given);
    };
    signal.removeEventListener = (...given: Parameters<typeof remove>) => {
      listeners--;
      remove(...given);
    };
    const checkpoint = await openCheckpoint(memoryFolder(FILES), { signal });
    const entry = checkpoint.tensors.get("a");
    await entry?.source.read(entry.offset, 4);
    await checkpoint.close();
    await new Promise((resolve) => setTimeout(resolve));
    expect(listeners).toBe(0);
  });
});

test("a range outside the file is refused without a call to the source", async () => {
  const source = memorySource(new Uint8Array(4));
  const guarded = await guardFolder({ name: "one", open: async () => source }).open("x");
  await expect(guarded?.read(2, 3)).rejects.toThrow(ModelFileError);
  await expect(guarded?.read(Number.NaN, 1)).rejects.toThrow(ModelFileError);
  expect(source.reads).toEqual([]);
});

test("two chosen files of one path are refused as ambiguous", () => {
  const twice = [new File(["a"], "config.json"), new File(["b"], "config.json")];
  expect(() => createFileListFolder(twice)).toThrow(ModelFileError);
});

test("a chosen file that shrank is a ModelFileError", async () => {
  const file = new File(["abcdef"], "config.json");
  Object.defineProperty(file, "slice", { value: () => new Blob(["ab"]) });
  const source = await createFileListFolder([file]).open("config.json");
  await expect(source?.read(0, 6)).rejects.toThrow("expected 6 bytes from 0, got 2");
});
