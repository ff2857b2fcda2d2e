/** House words that the field's words have replaced. A new one costs a line here; a false alarm is worth a new word. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it, test } from "vitest";
import { repositoryPath } from "../golden/open-fixture.ts";

/** A space matches any gap between words, a line end within a comment or a paragraph too. */
const REPLACED: readonly (readonly [RegExp, string])[] = [
  [/\bmatrix units?\b/, "subgroup matrices"],
  [/\bunread draws?\b|\bdraws? (are |is )?under way\b/, "sample in flight"],
  [/\bhanded on\b|\bhand(s|ed|ing)?on\b|\bhands? (\w+ ){1,3}on\b/, "emitted"],
  [/\b(brought|bring|brings|bringing)( \w+){0,3} together\b/, "combine, reduce or merge"],
  [/\bchains? of products\b/, "persistent layer kernel"],
  [/\bemulated (GPU|on the CPU)\b/, "software adapter"],
  [/\bteams?\b/, "thread group"],
  [/withEnds/, "expandSelection"],
];
const FOLDERS = ["src", "eval", "bench", "web", "test", "docs", "scripts", "models", "training", "examples"];

const inFolders = FOLDERS.flatMap((folder) =>
  readdirSync(repositoryPath(folder), { recursive: true, encoding: "utf8" }).map((path) =>
    join(folder, path),
  ),
);
const files = [...readdirSync(repositoryPath(".")), ...inFolders].filter(
  (path) =>
    /\.(tsx?|mjs|wgsl|md|css)$/.test(path) &&
    !/node_modules|results|kernel-sources|quantiser-module|words\.test/.test(path),
);
const texts = files.map((path) => [path, readFileSync(repositoryPath(path), "utf8")] as const);

/** Replaces line ends and comment marks within a comment or a paragraph by as many spaces. */
function joinLines(path: string, text: string): string {
  const gaps = path.endsWith(".md") ? /\n[ \t]*(?=[^\s#|>`*-])/g : /\n[ \t]*(\*(?!\/)|\/\/)[ \t]+/g;
  return text.replace(gaps, (gap) => " ".repeat(gap.length));
}

/** The lines of `text` at which the word begins. */
function linesWith(word: RegExp, path: string, text: string): number[] {
  const spaced = new RegExp(word.source.replaceAll(" ", " +"), "gi");
  return [...joinLines(path, text).matchAll(spaced)].map(
    ({ index }) => text.slice(0, index).split("\n").length,
  );
}

test.each(REPLACED)("no file says %s", (word, replacement) => {
  expect(files.length).toBeGreaterThan(300);
  expect(files).toContain("ARCHITECTURE.md");
  const found = texts.flatMap(([path, text]) => linesWith(word, path, text).map((line) => `${path}:${line}`));
  expect(found, `say "${replacement}"`).toEqual([]);
});

it("finds a word that a line end divides, in a comment and in a paragraph", () => {
  const word = /\bemulated on the CPU\b/;
  expect(linesWith(word, "a.ts", "/**\n * Slow: emulated on\n * the CPU.\n */")).toEqual([2]);
  expect(linesWith(word, "a.wgsl", "// emulated\n  // on the CPU")).toEqual([1]);
  expect(linesWith(word, "a.md", "Slow where\nemulated on the\nCPU.")).toEqual([2]);
  expect(linesWith(word, "a.md", "emulated on the\n\nCPU")).toEqual([]);
});
