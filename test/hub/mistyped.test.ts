import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { hub, open } from "./hub-trial.ts";

const start = process.cwd();
let here: string;
beforeEach(() => {
  here = mkdtempSync(join(tmpdir(), "lessismore-mistyped-"));
  process.chdir(here);
});
afterEach(() => {
  process.chdir(start);
  rmSync(here, { recursive: true });
});

test("a mistyped path with one slash asks the hub once; the error has both readings and the folder's near names", async () => {
  mkdirSync("models/pico-reasoner", { recursive: true });
  writeFileSync("models/notes.txt", "");
  const opening = open("models/pico-resoner");
  await expect(opening).rejects.toThrow(/there is no model models\/pico-resoner/);
  await expect(opening).rejects.toThrow(
    /here, models\/ is a folder without pico-resoner; did you mean models\/pico-reasoner\?/,
  );
  expect(hub.seen.filter(({ kind }) => kind === "revision")).toHaveLength(1);
});

test("a mistyped path is not tried again where the hub does not answer either, a name of the hub is", async () => {
  let connections = 0;
  hub.fault = (request) => {
    connections++;
    request.socket.destroy();
    return true;
  };
  mkdirSync("models");
  await expect(open("models/foo")).rejects.toThrow(/here, models\/ is a folder without foo/);
  expect(connections).toBe(1);
  await expect(open("hf:models/foo")).rejects.toThrow("gave up after 5 attempts");
  expect(connections).toBe(6);
});
