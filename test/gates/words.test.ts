/** House words that the field's words have replaced. A new one costs a line here; a false alarm is worth a new word. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { repositoryPath } from "../golden/open-fixture.ts";

const REPLACED: readonly (readonly [RegExp, string])[] = [
  [/\bmatrix units?\b/i, "subgroup matrices"],
  [/\bunread draws?\b|\bdraws? (are |is )?under way\b/i, "sample in flight"],
  [/\bhanded on\b/i, "emitted"],
  [/\b(brought|bring|brings|bringing)( \w+){0,3} together\b/i, "combine, reduce or merge"],
  [/\bchains? of products\b/i, "persistent layer kernel"],
  [/\bemulated (GPU|on the CPU)\b/i, "software adapter"],
  [/\bteams?\b/i, "thread group"],
  [/withEnds/i, "expandSelection"],
];
const FOLDERS = ["src", "eval", "bench", "test", "docs", "scripts"];

const files = FOLDERS.flatMap((folder) =>
  readdirSync(repositoryPath(folder), { recursive: true, encoding: "utf8" }).map((path) =>
    join(folder, path),
  ),
).filter(
  (path) => /\.(ts|mjs|wgsl|md)$/.test(path) && !/node_modules|results|kernel-sources|words\.test/.test(path),
);

test.each(REPLACED)("no file says %s", (word, replacement) => {
  expect(files.length).toBeGreaterThan(300);
  const found = files.flatMap((path) => {
    const lines = readFileSync(repositoryPath(path), "utf8").split("\n");
    return lines.flatMap((line, i) => (word.test(line) ? [`${path}:${i + 1}: ${line.trim()}`] : []));
  });
  expect(found, `say "${replacement}"`).toEqual([]);
});
