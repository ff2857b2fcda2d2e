import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { ModelFileError } from "../../src/node/index.ts";
import { jsonLines, replaceFile } from "./replace-file.ts";

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "lessismore-replace-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

it("replaces a file by its new pieces", async () => {
  const path = join(folder, "a.jsonl");
  writeFileSync(path, "old and longer than the new one\n");
  await replaceFile(path, jsonLines([{ a: 1 }, "é\u2028"]));
  expect(readFileSync(path, "utf8")).toBe('{"a":1}\n"é\u2028"\n');
  expect(readdirSync(folder)).toEqual(["a.jsonl"]);
});

it("leaves the old file and nothing else where writing fails, in its midst and at its end", async () => {
  const path = join(folder, "a.jsonl");
  writeFileSync(path, "old");
  const failing = function* () {
    yield "new";
    throw new Error("no space left");
  };
  await expect(replaceFile(path, failing())).rejects.toThrow(ModelFileError);
  await expect(replaceFile(path, failing())).rejects.toThrow(/writing .*a\.jsonl: Error: no space left/);
  expect(readFileSync(path, "utf8")).toBe("old");
  mkdirSync(join(folder, "taken", "by"), { recursive: true });
  await expect(replaceFile(join(folder, "taken"), ["new"])).rejects.toThrow(ModelFileError);
  expect(readdirSync(folder).sort()).toEqual(["a.jsonl", "taken"]);
});

it("writes to a pipe or a device as it is", async () => {
  await replaceFile("/dev/null", ["anything", new Uint8Array(3)]);
  expect(statSync("/dev/null").isCharacterDevice()).toBe(true);
});
