import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { cacheFolder, createTuningStore } from "./tuning-store.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "lessismore-store-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe("the folder", () => {
  it.each<[string, Record<string, string>, string, string, string | undefined]>([
    ["Linux", {}, "linux", "/home/a", "/home/a/.cache/lessismore"],
    ["XDG", { XDG_CACHE_HOME: "/var/a" }, "linux", "/home/a", "/var/a/lessismore"],
    ["XDG, relative", { XDG_CACHE_HOME: "a" }, "linux", "/home/a", "/home/a/.cache/lessismore"],
    ["macOS", {}, "darwin", "/Users/a", "/Users/a/Library/Caches/lessismore"],
    ["Windows", { LOCALAPPDATA: "C:\\L" }, "win32", "C:\\Users\\a", "C:\\L\\lessismore"],
    ["Windows without it", {}, "win32", "C:\\Users\\a", "C:\\Users\\a\\AppData\\Local\\lessismore"],
    ["no home", {}, "linux", "", undefined],
  ])("of %s", (_, environment, platform, home, expected) => {
    expect(cacheFolder(environment, platform, home)).toBe(expected);
  });
});

describe("the store", () => {
  it("creates its folder and returns stored values whole, under concurrent writers", async () => {
    const path = join(folder, "deep", "er");
    const store = createTuningStore(path);
    await expect(store.read("a")).rejects.toThrow("ENOENT");
    await store.write("a", "1");
    await Promise.all(Array.from({ length: 20 }, (_, i) => store.write("a", String(i).repeat(5000))));
    const text = await store.read("a");
    expect(text?.length).toBeGreaterThanOrEqual(5000);
    expect(new Set(text?.match(/.{2}/g) ?? []).size).toBeLessThanOrEqual(2); // the text of a single writer
    expect(await readdir(path)).toHaveLength(1); // no unfinished file is left
    await store.write("b", "2");
    expect(await store.read("b")).toBe("2");
  });

  it("ignores a file that is far too long", async () => {
    const path = join(folder, "long");
    const store = createTuningStore(path);
    await store.write("a", "1");
    const [name] = await readdir(path);
    await writeFile(join(path, name ?? ""), "x".repeat(1 << 20));
    expect(await store.read("a")).toBeUndefined();
  });

  it("fails if it cannot write, and without a folder", async () => {
    const file = join(folder, "file");
    await writeFile(file, "");
    await expect(createTuningStore(join(file, "below")).write("a", "1")).rejects.toThrow(/ENOTDIR|EEXIST/);
  });
});
