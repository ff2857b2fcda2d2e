import { expect, it } from "vitest";
import { formatBytes, formatLimit, NoteWriter, PartWriter } from "./output.ts";

const collect = (isTTY: boolean, parts: ["reasoning" | "answer", string][]) => {
  let text = "";
  const writer = new PartWriter({
    isTTY,
    write: (piece) => {
      text += piece;
    },
  });
  for (const [kind, piece] of parts) writer.write(kind, piece);
  writer.end();
  return text;
};

it("writes parts to the character, including white space at the start", () => {
  expect(
    collect(false, [
      ["answer", " blue"],
      ["answer", "."],
    ]),
  ).toBe(" blue.\n");
  expect(
    collect(false, [
      ["answer", "    return x"],
      ["answer", "\n"],
    ]),
  ).toBe("    return x\n");
  expect(
    collect(false, [
      ["answer", "\n"],
      ["answer", "\n  a"],
    ]),
  ).toBe("\n\n  a\n");
  expect(collect(false, [["reasoning", "\ta\r\n"]])).toBe("\ta\r\n");
  expect(collect(false, [["answer", " "]])).toBe(" \n");
});

it.each<[string, string, string]>([
  ["a", "b", "a\n\nb\n"],
  ["a\n", "b", "a\n\nb\n"],
  ["a", "\nb", "a\n\nb\n"],
  ["a\n", "\nb", "a\n\nb\n"],
  ["a\n\n", "b", "a\n\nb\n"],
  ["a\r\n\r\n", "b", "a\r\n\r\nb\n"],
  ["a", "\n\n  b", "a\n\n  b\n"],
  ["a\n\n", "\nb", "a\n\n\nb\n"],
])("separates %j and %j by at least one blank line: %j", (reasoning, answer, wanted) => {
  const kinds = (one: "reasoning" | "answer", other: "reasoning" | "answer") =>
    collect(false, [
      [one, ""],
      [one, reasoning],
      [other, ""],
      [other, answer],
    ]);
  expect(kinds("reasoning", "answer")).toBe(wanted);
  expect(kinds("answer", "reasoning")).toBe(wanted);
});

it("dims reasoning on a terminal only, and resets the style", () => {
  expect(
    collect(true, [
      ["reasoning", "a"],
      ["answer", "b"],
    ]),
  ).toBe("\u001b[2ma\u001b[0m\n\nb\n");
});

it("writes nothing without parts", () => {
  expect(collect(false, [])).toBe("");
});

it("formats sizes", () => {
  expect(formatBytes(999)).toBe("999 B");
  expect(formatBytes(16_671_528)).toBe("16.7 MB");
  expect(formatLimit(32768)).toBe("32 KiB");
  expect(formatLimit(2 ** 31 - 4)).toBe("2 GiB");
});

it("writes every note once, on one line", () => {
  const lines: string[] = [];
  const notes = new NoteWriter({ write: (line) => lines.push(line) });
  notes.write(["a", "b\n  c"]);
  notes.write(["b\n  c", "a", "d"]);
  expect(lines).toEqual(["lessismore: a\n", "lessismore: b c\n", "lessismore: d\n"]);
});
