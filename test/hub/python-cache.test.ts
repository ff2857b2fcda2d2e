/**
 * The cache that Python's huggingface_hub wrote from a hub with the same files, recorded by test/golden/make-hub-cache.py.
 * That script also checked with both programs what this record cannot: Python finds what this program fetched, and each
 * waits for the other's lock.
 */
import { createHash } from "node:crypto";
import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { listCache } from "../../src/node/hub/cached-models.ts";
import { openModel } from "../../src/node/hub/open-model.ts";
import { gitHash, LocalHub } from "./local-hub.ts";
import record from "./python-cache.json" with { type: "json" };
import { SMALL_REPO } from "./small-repo.ts";

interface Entry {
  readonly link?: string;
  readonly size?: number;
  readonly text?: string;
}
const python: Readonly<Record<string, Entry>> = record.python;
const ours: Readonly<Record<string, Entry>> = record.ours;

let hub: LocalHub;
let cache: string;
beforeEach(async () => {
  hub = await LocalHub.start({ "org/model": SMALL_REPO });
  cache = mkdtempSync(join(tmpdir(), "lessismore-python-"));
});
afterEach(() => {
  hub.close();
  rmSync(cache, { recursive: true });
});
const open = (text: string, more: Record<string, string> = {}) =>
  openModel(text, { environment: { HF_ENDPOINT: hub.url, HF_HUB_CACHE: cache, HF_HOME: cache, ...more } });

/** Writes the recorded files, the blobs with the contents that their names promise. */
function restore(): void {
  const contents = Object.values(SMALL_REPO.files);
  const blobs = new Map(
    contents.flatMap((content) => [
      [gitHash(content), content],
      [createHash("sha256").update(content).digest("hex"), content],
    ]),
  );
  for (const [name, { link, size = 0, text }] of Object.entries(python)) {
    const path = join(cache, name);
    mkdirSync(dirname(path), { recursive: true });
    if (link !== undefined) symlinkSync(link, path);
    else writeFileSync(path, text ?? blobs.get(name.split("/").at(-1) ?? "") ?? Buffer.alloc(size));
  }
}

function written(): Record<string, Entry> {
  const found: Record<string, Entry> = {};
  for (const name of readdirSync(cache, { recursive: true, encoding: "utf8" })) {
    const path = join(cache, name);
    const info = lstatSync(path);
    if (info.isSymbolicLink()) found[name] = { link: readlinkSync(path) };
    else if (info.isFile() && name.includes("/refs/"))
      found[name] = { size: info.size, text: readFileSync(path, "utf8") };
    else if (info.isFile()) found[name] = { size: info.size };
  }
  return found;
}

test("the hub of this test has the files of the record", () => {
  expect(hub.commitOf("org/model")).toBe(record.commit);
});

test("a model that Python fetched opens offline, and no byte of it is fetched again", async () => {
  restore();
  const offline = await open("org/model", { HF_HUB_OFFLINE: "1" });
  const source = await offline.folder.open("model.safetensors");
  expect(source?.sizeBytes).toBe(9 << 20);
  await source?.close?.();
  expect((await open("org/model:Q4_0", { HF_HUB_OFFLINE: "1" })).folder.weightFile).toBe(
    "q/m-Q4_0-00001-of-00002.gguf",
  );
  expect(hub.seen).toEqual([]);
  await open("org/model");
  await open("org/model@refs/pr/4/q/m-Q4_0-00001-of-00002.gguf");
  expect(hub.seen.filter(({ kind }) => kind === "resolve" || kind === "store")).toEqual([]);
});

test("the list counts what Python's library counts", async () => {
  restore();
  const [model, ...others] = await listCache(cache);
  expect(others).toEqual([]);
  expect(model).toMatchObject({ name: "org/model", sizeBytes: record.checks.found.bytes, partialBytes: 0 });
  expect(model?.revisions.map(({ refs }) => refs)).toEqual([["main", "refs/pr/4"]]);
});

test("what this program writes is what it wrote when Python found it, and what Python writes", async () => {
  await open("org/model");
  await open("hf:org/model@v1:Q4_0");
  const now = written();
  const { "CACHEDIR.TAG": tag, ...recorded } = ours;
  expect(tag?.text).toMatch(/^Signature: 8a477f597d28d172789f06886806bc55\n/);
  expect(now).toEqual({ ...recorded, "CACHEDIR.TAG": { size: tag?.size } });
  const shared = Object.keys(now).filter((name) => /\/(blobs|snapshots)\/|refs\/main|\.locks/.test(name));
  expect(shared.length).toBeGreaterThan(15);
  for (const name of shared) expect(now[name], name).toEqual(python[name]);
});
