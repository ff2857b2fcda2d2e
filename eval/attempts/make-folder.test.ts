import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { makeFolder } from "./make-folder.ts";

const folder = mkdtempSync(join(tmpdir(), "make folder é "));
afterAll(() => rmSync(folder, { recursive: true }));

it("makes a folder and those above it, again and at once", async () => {
  const path = join(folder, "a", "b c", "d");
  await Promise.all([makeFolder(path), makeFolder(path)]);
  await makeFolder(path);
  expect(existsSync(path)).toBe(true);
});

it("names a file in its way", async () => {
  writeFileSync(join(folder, "file"), "");
  await expect(makeFolder(join(folder, "file"))).rejects.toThrow("EEXIST");
  await expect(makeFolder(join(folder, "file", "x"))).rejects.toThrow("EEXIST");
});

it.skipIf(!existsSync("/proc/self"))(
  "ends where a folder takes no other",
  async () => {
    await expect(makeFolder("/proc/no-such/x")).rejects.toThrow("making the folder /proc/no-such/x");
  },
  5_000,
);
