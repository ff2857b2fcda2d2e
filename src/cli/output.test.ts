import { expect, it } from "vitest";
import { formatAttention, formatBytes, formatLimit, PartWriter } from "./output.ts";

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

it("sets reasoning and answer one blank line apart, however the line breaks fall", () => {
  const wanted = "a\nb\n\nc\n";
  expect(
    collect(false, [
      ["reasoning", "\na\n"],
      ["reasoning", "b\n"],
      ["answer", "\n\nc"],
    ]),
  ).toBe(wanted);
  expect(
    collect(false, [
      ["reasoning", "a\nb"],
      ["answer", "\n"],
      ["answer", "\nc"],
    ]),
  ).toBe(wanted);
  expect(
    collect(false, [
      ["reasoning", "a\nb\n\n"],
      ["answer", "c\n"],
    ]),
  ).toBe(wanted);
});

it("dims reasoning on a terminal only and leaves it plain again", () => {
  expect(
    collect(true, [
      ["reasoning", "a"],
      ["answer", "b"],
    ]),
  ).toBe("\u001b[2ma\u001b[0m\n\nb\n");
});

it("writes nothing for nothing", () => {
  expect(collect(false, [])).toBe("");
});

it("formats sizes and policies", () => {
  expect(formatBytes(999)).toBe("999 B");
  expect(formatBytes(16_671_528)).toBe("16.7 MB");
  expect(formatLimit(32768)).toBe("32 KiB");
  expect(formatLimit(2 ** 31 - 4)).toBe("2 GiB");
  expect(formatAttention("full", {})).toBe("full");
  expect(formatAttention("less-is-more", { budget: 256, layers: [2, 7] })).toBe(
    "less-is-more:budget=256,layers=2+7",
  );
});
