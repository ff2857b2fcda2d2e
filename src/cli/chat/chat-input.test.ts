import { expect, test } from "vitest";
import { MessageLines, readInput } from "./chat-input.ts";

/** The messages of lines, and whether one has begun at the end. */
function messagesOf(...lines: string[]): readonly [string[], boolean] {
  const reader = new MessageLines();
  const messages = lines.flatMap((line) => reader.push(line) ?? []);
  return [messages, reader.isOpen];
}

test("a line is a message; one that ends with a backslash goes on", () => {
  expect(messagesOf("one", "  two  ", "three\\", "four")).toEqual([["one", "two", "three\nfour"], false]);
  expect(messagesOf("open\\")).toEqual([[], true]);
});

test("three quotation marks begin and end a message of several lines", () => {
  expect(messagesOf('"""', "a \\", "", "  b", '"""', "c")).toEqual([["a \\\n\n  b", "c"], false]);
  expect(messagesOf('"""first', 'last"""')).toEqual([["first\nlast"], false]);
  expect(messagesOf('"""at once"""')).toEqual([["at once"], false]);
  expect(messagesOf('"""', "not yet")).toEqual([[], true]);
});

test("a message that has begun can be forgotten", () => {
  const reader = new MessageLines();
  reader.push("half\\");
  reader.clear();
  expect(reader.push("whole")).toBe("whole");
});

test("a slash begins a command, two a message with one", () => {
  expect(readInput("/attention less-is-more:budget=64")).toEqual({
    ...{ kind: "command", name: "attention", rest: "less-is-more:budget=64" },
  });
  expect(readInput("/system be\nbrief")).toEqual({ kind: "command", name: "system", rest: "be\nbrief" });
  expect(readInput("//etc/hosts is a file")).toEqual({ kind: "message", text: "/etc/hosts is a file" });
  expect(readInput("a / b")).toEqual({ kind: "message", text: "a / b" });
});

test("a mistyped command says which one may be meant, also where it is a name of objects", () => {
  expect(readInput("/retyr")).toMatchObject({
    kind: "unknown",
    advice: expect.stringContaining('mean "retry"'),
  });
  expect(readInput("/constructor")).toMatchObject({ kind: "unknown" });
  expect(readInput("/")).toMatchObject({ kind: "unknown" });
});
