import { describe, expect, it, test } from "vitest";
import { ToolCallParser } from "../tools/tool-call-parser.ts";
import type { StreamPart } from "./model-types.ts";
import { contentOf, PartWriter } from "./part-writer.ts";

type Output = readonly (readonly ["reasoning" | "answer", string])[];

function write(
  output: Output,
  parser?: ToolCallParser,
): { readonly parts: StreamPart[]; readonly writer: PartWriter } {
  const writer = new PartWriter(parser);
  const parts = output.flatMap(([kind, text]) => writer.push({ kind, text }));
  return { parts: [...parts, ...writer.end()], writer };
}

const CALL = '<tool_call>\n{"name": "add", "arguments": {"a": 1, "b": [2]}}\n</tool_call>';
const hermes = () => new ToolCallParser("hermes", ["add"]);
const inPieces = (text: string, size: number): Output =>
  Array.from(
    { length: Math.ceil(text.length / size) },
    (_, i) => ["answer", text.slice(i * size, (i + 1) * size)] as const,
  );

describe("parts of an output", () => {
  it("are runs of one kind, each begun and ended once, without empty ones", () => {
    const { parts } = write([
      ["reasoning", "a"],
      ["reasoning", "b"],
      ["answer", ""],
      ["answer", "c"],
      ["reasoning", "d"],
    ]);
    expect(parts.map((part) => ("id" in part ? `${part.type} ${part.id}` : part.type))).toEqual([
      ...["reasoning-start 0", "reasoning-delta 0", "reasoning-delta 0", "reasoning-end 0"],
      ...["text-start 1", "text-delta 1", "text-end 1"],
      ...["reasoning-start 2", "reasoning-delta 2", "reasoning-end 2"],
    ]);
    expect(contentOf(parts)).toEqual([
      { type: "reasoning", text: "ab" },
      { type: "text", text: "c" },
      { type: "reasoning", text: "d" },
    ]);
    expect(write([]).parts).toEqual([]);
  });

  test.each([1, 3, 1000])("have calls of tools, whose pieces of %d characters join to the whole", (size) => {
    const { parts, writer } = write(inPieces(`Let me see. ${CALL}${CALL}`, size), hermes());
    expect(writer.numCalls).toBe(2);
    const whole = contentOf(parts);
    expect(whole.map(({ type }) => type)).toEqual(["text", "tool-call", "tool-call"]);
    expect(whole[0]).toEqual({ type: "text", text: "Let me see." });
    const calls = parts.filter((part) => part.type === "tool-call");
    expect(new Set(calls.map((call) => call.toolCallId)).size).toBe(2);
    for (const { toolCallId, toolName, input } of calls) {
      expect(toolName).toBe("add");
      expect(toolCallId).toMatch(/^[a-zA-Z0-9]{9}$/);
      expect(JSON.parse(input)).toEqual({ a: 1, b: [2] });
      const own = parts.filter((part) => "id" in part && part.id === toolCallId);
      expect([own[0]?.type, own.at(-1)?.type]).toEqual(["tool-input-start", "tool-input-end"]);
      expect(own.map((part) => ("delta" in part ? part.delta : "")).join("")).toBe(input);
    }
  });

  it("leave out a call that the output left open, and name it", () => {
    const { parts, writer } = write([["answer", CALL.slice(0, 50)]], hermes());
    expect(parts.map(({ type }) => type)).toEqual(["tool-input-start", "tool-input-delta", "tool-input-end"]);
    expect({ calls: writer.numCalls, broken: writer.brokenCalls }).toEqual({ calls: 0, broken: ["add"] });
    expect(contentOf(parts)).toEqual([]);
  });

  it("have the text of calls as text where the model gets no tools, and in the reasoning", () => {
    expect(contentOf(write([["answer", CALL]]).parts)).toEqual([{ type: "text", text: CALL }]);
    expect(contentOf(write([["reasoning", CALL]], hermes()).parts)).toEqual([
      { type: "reasoning", text: CALL },
    ]);
  });
});
