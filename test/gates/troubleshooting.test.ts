/** docs/troubleshooting.md quotes messages, classes and options as the sources have them. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import * as errors from "../../src/base/errors.ts";
import { repositoryPath } from "../golden/open-fixture.ts";

const page = readFileSync(repositoryPath("docs/troubleshooting.md"), "utf8");
const index = readFileSync(repositoryPath("src/index.ts"), "utf8");

/** All sources, each message in one piece: without the joints of its parts. */
const sources = readdirSync(repositoryPath("src"), { recursive: true, encoding: "utf8" })
  .filter((path) => path.endsWith(".ts") && !path.endsWith(".test.ts"))
  .map((path) => readFileSync(join(repositoryPath("src"), path), "utf8"))
  .join("\n")
  .replaceAll(/["`] \+\s*["`]/g, "")
  .replaceAll("\\`", "`");

/** The rows of the tables whose first column has this name. */
function rowsOf(column: string): string[][] {
  const tables = page.split(/\n\n+/).filter((block) => block.startsWith(`| ${column} |`));
  return tables.flatMap((table) => table.split("\n").slice(2).map(cellsOf));
}

const cellsOf = (row: string): string[] =>
  row
    .split(/(?<!\\)\|/)
    .slice(1, -1)
    .map((cell) => cell.trim());

const quotesOf = (cell: string): string[] => [...cell.matchAll(/`([^`]+)`/g)].map(([, text = ""]) => text);

it("quotes messages that the engine has", () => {
  const rows = rowsOf("message");
  expect(rows.length).toBeGreaterThan(35);
  const quotes = rows.flatMap(([message = ""]) => quotesOf(message));
  expect(quotes.length).toBeGreaterThan(rows.length - 3); // two rows tell of what has no message
  const missing = quotes.filter((quote) =>
    quote.split("…").some((part) => !sources.includes(part.trim().replace(/:$/, ""))),
  );
  expect(missing).toEqual([]);
});

it("has a row for every class of errors that programs can import, with its code", () => {
  const rows = rowsOf("class").map(([name = "", code = ""]) => [...quotesOf(name), ...quotesOf(code)]);
  const classes = Object.entries(errors).filter(
    ([name]) => name !== "EngineError" && new RegExp(`\\b${name},`).test(index),
  );
  expect(classes.length).toBeGreaterThan(6);
  const told = classes.map(([name, Class]) => [name, new (Class as typeof errors.ConfigError)("a").code]);
  expect(rows.sort()).toEqual(told.sort());
});

it("names options that the command line has", () => {
  const options = [...page.matchAll(/`(?:npx lessismore \w+ )?(--[a-z-]+)/g)].map(([, name = ""]) => name);
  expect(options.length).toBeGreaterThan(5);
  const others = new Set(["--omit", "--gpus"]); // of npm, of container engines
  expect(options.filter((name) => !others.has(name) && !sources.includes(`"${name}`))).toEqual([]);
});
