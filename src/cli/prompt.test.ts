import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { UsageError } from "./args.ts";
import { type PromptOptions, readPrompt } from "./prompt.ts";
import type { PromptInput } from "./read-text.ts";

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

it("reads the argument unchanged, and a file and standard input without their last line break", async () => {
  expect(await readPrompt("hello\n", {}, pipe("ignored"))).toEqual(user("hello\n"));
  expect(await readPrompt(undefined, { promptFile: file("p", "a\nb\r\n") }, pipe("ignored"))).toEqual(
    user("a\nb"),
  );
  expect(await readPrompt(undefined, {}, pipe("a", "b\n\n"))).toEqual(user("ab\n"));
});

it("keeps a raw prompt unchanged", async () => {
  expect(await readPrompt(undefined, { raw: true }, pipe("<think>\n"))).toEqual({ prompt: "<think>\n" });
});

it("joins characters split between chunks of standard input", async () => {
  const bytes = new TextEncoder().encode("é");
  expect(await readPrompt(undefined, {}, pipe(bytes.slice(0, 1), bytes.slice(1)))).toEqual(user("é"));
});

it("reads token ids", async () => {
  expect(await readPrompt(undefined, { tokenIds: file("t", "[1, 0, 511]") }, terminal)).toEqual({
    tokenIds: [1, 0, 511],
  });
});

it("adds a system message, variables of the template and the start of the output", async () => {
  const chat = file("chat.json", JSON.stringify([{ role: "user", content: "a" }]));
  const options = { system: "", think: false, chatTemplateOption: { date: "1 May" } };
  const system = { role: "system", content: "" };
  const chatTemplateOptions = { date: "1 May", enable_thinking: false };
  for (const [argument, more] of [
    ["a", {}],
    [undefined, { messages: chat }],
  ] as const)
    expect(await readPrompt(argument, { ...options, ...more }, terminal)).toEqual({
      messages: [system, { role: "user", content: "a" }],
      chatTemplateOptions,
    });
  expect(await readPrompt("a", { think: true, startsInReasoning: true }, terminal)).toEqual({
    ...user("a"),
    chatTemplateOptions: { enable_thinking: true },
    startsInReasoning: true,
  });
  expect(await readPrompt("a", { raw: true, startsInReasoning: true }, terminal)).toEqual({
    prompt: "a",
    startsInReasoning: true,
  });
});

it("reads standard input for the argument or the file name -", async () => {
  expect(await readPrompt("-", {}, pipe("a\n"))).toEqual(user("a"));
  expect(await readPrompt(undefined, { promptFile: "-" }, pipe("a\n"))).toEqual(user("a"));
  expect(await readPrompt(undefined, { tokenIds: "-" }, pipe("[1, 2]"))).toEqual({ tokenIds: [1, 2] });
  expect(await readPrompt(undefined, { messages: "-" }, pipe('[{"role":"user","content":"a"}]'))).toEqual(
    user("a"),
  );
});

it("drops the byte-order mark of UTF-8, and refuses other encodings by name", async () => {
  expect(await readPrompt(undefined, { promptFile: file("mark", "\ufeffa") }, terminal)).toEqual(user("a"));
  expect(
    await readPrompt(
      undefined,
      { messages: file("mark.json", '\ufeff[{"role":"user","content":"a"}]') },
      terminal,
    ),
  ).toEqual(user("a"));
  const utf16 = Uint8Array.of(0xff, 0xfe, 0x61, 0);
  await expect(readPrompt(undefined, {}, pipe(utf16))).rejects.toThrow(
    "standard input is UTF-16; save it as UTF-8",
  );
  await expect(readPrompt(undefined, {}, pipe(Uint8Array.of(0x61, 0xe9)))).rejects.toThrow("no UTF-8 text");
});

it("an endless pipe is an error at 64 MiB", async () => {
  const chunk = new Uint8Array(2 ** 20).fill(0x61);
  let given = 0;
  const endless: PromptInput = {
    async *[Symbol.asyncIterator]() {
      for (;;) {
        given++;
        yield chunk;
      }
    },
  };
  await expect(readPrompt(undefined, {}, endless)).rejects.toThrow("standard input has more than 64 MiB");
  expect(given).toBe(65);
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
  ["the argument and a conversation", "a", { messages: "m" }, terminal],
  ["a raw conversation", undefined, { messages: "m", raw: true }, terminal],
  ["raw token ids", undefined, { tokenIds: "t", raw: true }, terminal],
  ["a raw prompt with a system message", "a", { raw: true, system: "s" }, terminal],
  ["a raw prompt with --think", "a", { raw: true, think: true }, terminal],
  ["a raw prompt with --no-think", "a", { raw: true, think: false }, terminal],
  ["a raw prompt with template variables", "a", { raw: true, chatTemplateOption: { a: 1 } }, terminal],
  ["token ids with a system message", undefined, { tokenIds: "t", system: "s" }, terminal],
  [
    "--think with the option enable_thinking",
    "a",
    { think: true, chatTemplateOption: { enable_thinking: true } },
    terminal,
  ],
  ["--no-think with --starts-in-reasoning", "a", { think: false, startsInReasoning: true }, terminal],
])("refuses %s with a usage error", async (_, argument, options, input) => {
  await expect(readPrompt(argument, options, input)).rejects.toThrow(UsageError);
});

it("names a file that cannot be read, with the reason", async () => {
  const missing = join(folder, "none");
  for (const source of ["promptFile", "tokenIds", "messages"]) {
    const read = (path: string) => readPrompt(undefined, { [source]: path }, terminal);
    await expect(read(missing)).rejects.toThrow(`cannot read ${missing}: there is no such file`);
    await expect(read(folder)).rejects.toThrow(`cannot read ${folder}: it is a folder; name a file`);
    await expect(read(file("empty", ""))).rejects.toThrow("is empty");
  }
});

it("refuses a second system message", async () => {
  const path = file(
    "system.json",
    JSON.stringify([
      { role: "system", content: "a" },
      { role: "user", content: "b" },
    ]),
  );
  await expect(readPrompt(undefined, { messages: path, system: "c" }, terminal)).rejects.toThrow(
    "has a system message, and so has --system",
  );
});
