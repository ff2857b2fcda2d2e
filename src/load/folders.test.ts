import { mkdtempSync, renameSync, rmSync, truncateSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { field } from "../../test/golden/gguf-file.ts";
import { TENSORS, tinyGguf } from "../../test/golden/tiny-gguf.ts";
import { ModelFileError } from "../base/errors.ts";
import { openFileFolder } from "../node/file-folder.ts";
import type { ByteSource, FileFolder } from "./byte-source.ts";
import { openCheckpoint } from "./checkpoint.ts";
import { createFileListFolder } from "./file-list-folder.ts";
import { createUrlFolder, type Fetch } from "./url-folder.ts";

const FILES: Record<string, Uint8Array> = {
  "empty.json": new Uint8Array(0),
  "small.json": Uint8Array.from({ length: 100 }, (_, i) => i),
  "exact.bin": Uint8Array.from({ length: 64 << 10 }, (_, i) => i % 251),
  "big.bin": Uint8Array.from({ length: 200_000 }, (_, i) => i % 253),
};

/** A file server as a function. `requests` collects "METHOD path range". */
function server(does: { ranges?: boolean; contentRange?: boolean; short?: boolean } = {}) {
  const { ranges = true, contentRange = true, short = false } = does;
  const requests: string[] = [];
  const serve: Fetch = async (url, init) => {
    const { pathname } = new URL(url);
    const range = new Headers(init.headers).get("range");
    requests.push(`${init.method ?? "GET"} ${pathname} ${range ?? ""}`.trim());
    if (pathname === "/m/broken.bin") return new Response("no", { status: 503, statusText: "Unavailable" });
    if (pathname === "/m/offline.bin") throw new TypeError("network down");
    const bytes = FILES[pathname.slice("/m/".length)];
    const page = { headers: { "content-type": "text/html; charset=utf-8" } };
    if (pathname.endsWith("/start-page.json")) return new Response("<!doctype html>", page);
    if (!bytes) return new Response("not here", { status: 404 });
    if (init.method === "HEAD")
      return new Response(null, { headers: { "content-length": `${bytes.length}` } });
    const match = /^bytes=(\d+)-(\d+)$/.exec(range ?? "");
    if (!ranges || !match) return new Response(bytes.slice());
    const first = Number(match[1]);
    const last = Math.min(Number(match[2]), bytes.length - 1);
    if (first >= bytes.length)
      return new Response(null, { status: 416, headers: { "content-range": `bytes */${bytes.length}` } });
    const body = bytes.slice(first, last + 1 - (short && first > 0 ? 1 : 0));
    const headers = contentRange ? { "content-range": `bytes ${first}-${last}/${bytes.length}` } : {};
    return new Response(body, { status: 206, headers });
  };
  return { serve, requests };
}

let folderPath = "";
beforeAll(() => {
  folderPath = mkdtempSync(join(tmpdir(), "lessismore-folder-"));
  for (const [name, bytes] of Object.entries(FILES)) writeFileSync(join(folderPath, name), bytes);
});
afterAll(() => rmSync(folderPath, { recursive: true }));

async function openFile(folder: FileFolder, path: string): Promise<ByteSource> {
  const source = await folder.open(path);
  if (!source) throw new Error(`${path} did not open`);
  return source;
}

describe.each<[string, () => Promise<FileFolder>]>([
  ["Node folder", () => openFileFolder(folderPath)],
  ["URL with ranges", async () => createUrlFolder("http://host/m", server().serve)],
  [
    "URL with ranges, size hidden by CORS",
    async () => createUrlFolder("http://host/m/", server({ contentRange: false }).serve),
  ],
  ["URL without ranges", async () => createUrlFolder("http://host/m/", server({ ranges: false }).serve)],
  [
    "chosen files",
    async () =>
      createFileListFolder(Object.entries(FILES).map(([name, bytes]) => new File([bytes.slice()], name))),
  ],
])("%s", (_, make) => {
  test.each(
    Object.entries(FILES),
  )("reads any range of %s and refuses ranges outside it", async (name, bytes) => {
    const source = await openFile(await make(), name);
    expect(source.sizeBytes).toBe(bytes.length);
    expect(source.name).toContain(name);
    const ends = [0, 1, 7, bytes.length >> 1, bytes.length - 1, bytes.length].filter(
      (end) => end >= 0 && end <= bytes.length,
    );
    for (const begin of ends)
      for (const end of ends)
        if (begin <= end) {
          const got = await source.read(begin, end - begin);
          expect(Buffer.compare(got, bytes.slice(begin, end)), `${begin} to ${end}`).toBe(0);
        }
    await expect(source.read(0, bytes.length + 1)).rejects.toThrow(ModelFileError);
    await expect(source.read(bytes.length, 1)).rejects.toThrow(`the file has ${bytes.length}`);
    await expect(source.read(-1, 1)).rejects.toThrow(ModelFileError);
    await source.close?.();
  });

  test("opens a missing file as undefined", async () => {
    expect(await (await make()).open("nothing.json")).toBeUndefined();
  });
});

describe("URL folder", () => {
  test("a small file takes one request, a large file one request a range", async () => {
    const { serve, requests } = server();
    const folder = createUrlFolder("http://host/m?key=1", serve);
    await (await openFile(folder, "small.json")).read(0, 100);
    const big = await openFile(folder, "big.bin");
    await big.read(10, 20);
    await big.read(100_000, 5);
    expect(requests).toEqual([
      "GET /m/small.json bytes=0-65535",
      "GET /m/big.bin bytes=0-65535",
      "GET /m/big.bin bytes=100000-100004",
    ]);
  });

  test("a web page in place of a file, as single-page servers send it, counts as missing", async () => {
    expect(await createUrlFolder("http://host/m", server().serve).open("start-page.json")).toBeUndefined();
  });

  test("refusals, network failures and short responses are ModelFileErrors that name the address", async () => {
    const folder = createUrlFolder("http://host/m", server({ short: true }).serve);
    await expect(folder.open("broken.bin")).rejects.toThrow(
      "http://host/m/broken.bin: the server answered 503 Unavailable",
    );
    await expect(folder.open("offline.bin")).rejects.toThrow(ModelFileError);
    await expect(folder.open("offline.bin")).rejects.toThrow("network down");
    const big = await openFile(folder, "big.bin");
    await expect(big.read(100_000, 5)).rejects.toThrow("expected 5 bytes from 100000, the server sent 4");
  });
});

test("files of a chosen folder open by their path below it", async () => {
  const file = new File(["x"], "config.json");
  Object.defineProperty(file, "webkitRelativePath", { value: "model/sub/config.json" });
  const folder = createFileListFolder([file]);
  expect(await folder.list?.()).toEqual(["sub/config.json"]);
  expect(await folder.open("config.json")).toBeUndefined();
  expect((await openFile(folder, "sub/config.json")).sizeBytes).toBe(1);
});

describe("a GGUF file opens", () => {
  const parts = { "my model-00001-of-00002.gguf": 0, "my model-00002-of-00002.gguf": 1 };
  const files = Object.entries(parts).map(([name, part]) => {
    const split = { "split.no": field.u16(part), "split.count": field.u16(2) };
    const tensors = TENSORS.filter((_, i) => i % 2 === part);
    return [name, tinyGguf({ metadata: split, tensors })] as const;
  });
  const [[first = ""] = [""], [second = ""] = [""]] = files;

  test("by its path", async () => {
    for (const [name, bytes] of files) writeFileSync(join(folderPath, name), bytes);
    const checkpoint = await openCheckpoint(await openFileFolder(join(folderPath, second)));
    expect(checkpoint.files).toEqual([first, second]);
    expect(checkpoint.name).toBe(join(folderPath, second));
    await checkpoint.close();
    for (const [name] of files) rmSync(join(folderPath, name));
  });

  test("by its URL, with spaces and a query", async () => {
    const asked: string[] = [];
    const serve: Fetch = async (url) => {
      const { pathname, search } = new URL(url);
      asked.push(pathname + search);
      const bytes = new Map(files).get(decodeURIComponent(pathname).slice("/m/".length));
      return bytes ? new Response(bytes.slice()) : new Response("", { status: 404 });
    };
    const checkpoint = await openCheckpoint(createUrlFolder(`http://host/m/${first}?key=1`, serve));
    expect(checkpoint.tensors.size).toBe(TENSORS.length);
    expect(asked).toEqual(
      [first, second, `${first}.sparse-attention.json`].map((name) => `/m/${name.replace(" ", "%20")}?key=1`),
    );
  });

  test("chosen by a person", async () => {
    const chosen = files.map(([name, bytes]) => new File([bytes.slice()], name));
    const checkpoint = await openCheckpoint(createFileListFolder(chosen));
    expect(checkpoint.tensors.size).toBe(TENSORS.length);
  });
});

describe("Node folder", () => {
  test("a missing folder and a file in its place are ModelFileErrors; a folder does not open as a file", async () => {
    await expect(openFileFolder(join(folderPath, "none"))).rejects.toThrow("there is no such folder");
    await expect(openFileFolder(join(folderPath, "big.bin"))).rejects.toThrow(ModelFileError);
    expect(await (await openFileFolder(join(folderPath, ".."))).open(".")).toBeUndefined();
  });

  test("overwriting an open file is a ModelFileError; after a rename over it, reads return the old file", async () => {
    const path = join(folderPath, "changing.bin");
    writeFileSync(path, "first!");
    const folder = await openFileFolder(folderPath);
    const source = await openFile(folder, "changing.bin");
    writeFileSync(`${path}.new`, "second");
    renameSync(`${path}.new`, path);
    expect(Buffer.from(await source.read(0, 6)).toString()).toBe("first!");
    await source.close?.();
    const again = await openFile(folder, "changing.bin");
    for (const text of ["longer than before", "third!"]) {
      writeFileSync(path, text);
      utimesSync(path, new Date(), new Date(Date.now() + 5000));
      await expect(again.read(0, 3)).rejects.toThrow("was written to since it was opened");
    }
    await again.close?.();
    await expect(again.read(0, 3)).rejects.toThrow(ModelFileError); // reading a closed file throws a typed error too
    rmSync(path);
  });

  test("truncating an open file is a ModelFileError, not a short read", async () => {
    const path = join(folderPath, "cut.bin");
    writeFileSync(path, new Uint8Array(10));
    const source = await openFile(await openFileFolder(folderPath), "cut.bin");
    truncateSync(path, 5);
    await expect(source.read(0, 10)).rejects.toThrow("became shorter");
    await source.close?.();
    rmSync(path);
  });
});
