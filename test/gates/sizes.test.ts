/** Files of one subject stay short enough to read at once. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { repositoryPath } from "../golden/open-fixture.ts";

const MAX_LINES = 400;
const FOLDERS = ["src", "eval", "bench", "web", "test", "scripts", "examples"];
const GENERATED = /kernel-sources\.ts$|wasm[\\/]exports\.ts$|quantiser-module\.ts$|node_modules/;

it(`no file of code has ${MAX_LINES} lines or more`, () => {
  const files = FOLDERS.flatMap((folder) =>
    readdirSync(repositoryPath(folder), { recursive: true, encoding: "utf8" }).map((path) =>
      join(folder, path),
    ),
  ).filter((path) => /\.(tsx?|mjs|wgsl)$/.test(path) && !GENERATED.test(path));
  expect(files.length).toBeGreaterThan(300);
  const long = files.filter(
    (path) => readFileSync(repositoryPath(path), "utf8").split("\n").length > MAX_LINES,
  );
  expect(long).toEqual([]);
});
