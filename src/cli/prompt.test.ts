import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { UsageError } from "./args.ts";
import { type PromptInput, type PromptOptions, readPrompt } from "./prompt.ts";

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "lessismore-prompt-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

const file = (name: string, content: string) => {
  writeFileSync(join(folder, name), content);
  return join(folder, name);
};
const pipe = (...chunks: (Uint8Array | string)[]): PromptInput => ({
  async *[Symbol.asyncIterator]() {
    yield* chunks;
  },
});
const terminal: PromptInput = { ...pipe(), isTTY: true };
const user = (content: string) => ({ messages: [{ role: "user", content }] });

it("reads the argument, a file, and standard input, without their last line break", async () => {
  expect(await readPrompt("hello\n", {}, pipe("ignored"))).toEqual(user("hello\n"));
  expect(await readPrompt(undefined, { promptFile: file("p", "a\nb\r\n") }, pipe("ignored"))).toEqual(
    user("a\nb"),
  );
  expect(await readPrompt(undefined, {}, pipe("a", "b\n\n"))).toEqual(user("ab\n"));
});

it("keeps a raw text exactly", async () => {
  expect(await readPrompt(undefined, { raw: true }, pipe("<think>\n"))).toEqual({ prompt: "<think>\n" });
});

it("joins characters that are cut between chunks of standard input", async () => {
  const bytes = new TextEncoder().encode("é");
  expect(await readPrompt(undefined, {}, pipe(bytes.slice(0, 1), bytes.slice(1)))).toEqual(user("é"));
});

it("reads token ids", async () => {
  expect(await readPrompt(undefined, { tokenIds: file("t", "[1, 0, 511]") }, terminal)).toEqual({
    tokenIds: [1, 0, 511],
  });
});

it.each([
  "{}",
  "[]",
  "[1.5]",
  '["1"]',
  "[-1]",
  "[1",
  "[null]",
])("refuses %s as token ids", async (content) => {
  await expect(readPrompt(undefined, { tokenIds: file("bad", content) }, terminal)).rejects.toThrow(
    "JSON array",
  );
});

it.each<[string, string | undefined, PromptOptions, PromptInput]>([
  ["no prompt on a terminal", undefined, {}, terminal],
  ["an empty pipe", undefined, {}, pipe()],
  ["a blank pipe", undefined, {}, pipe(" \n")],
  ["an empty argument", "", {}, terminal],
  ["an empty raw argument", "", { raw: true }, terminal],
  ["the argument and a file", "a", { promptFile: "p" }, terminal],
  ["the argument and token ids", "a", { tokenIds: "t" }, terminal],
  ["a file and token ids", undefined, { promptFile: "p", tokenIds: "t" }, terminal],
])("refuses %s as a mistake of the command line", async (_, argument, options, input) => {
  await expect(readPrompt(argument, options, input)).rejects.toThrow(UsageError);
});

it("names a file that cannot be read", async () => {
  await expect(readPrompt(undefined, { promptFile: join(folder, "none") }, terminal)).rejects.toThrow("none");
});
