import { expect, test } from "vitest";
import { findReasoningMarkers, THINK_TAGS } from "./reasoning-markers.ts";

const MISTRAL = { open: "[THINK]", close: "[/THINK]" };
const having = (...tokens: string[]) => ({
  tokenId: (token: string) => (tokens.includes(token) ? tokens.indexOf(token) : undefined),
});
const both = having("<think>", "</think>", "[THINK]", "[/THINK]");

test.each([
  ["a model without a tokenizer", undefined, [], THINK_TAGS],
  ["neither tokens nor a template", having("a"), ["{{ messages }}"], THINK_TAGS],
  ["tokens <think>", having("<think>", "</think>"), [], THINK_TAGS],
  ["tokens [THINK]", having("[THINK]", "[/THINK]"), ["{{ messages }}"], MISTRAL],
  ["an opening token alone", having("[THINK]"), [], THINK_TAGS],
  ["a template that names [/THINK] alone", having(), ["a", "[/THINK]"], MISTRAL],
  [
    "tokens [THINK], trained on the template's <think>",
    having("[THINK]", "[/THINK]"),
    ["<think>"],
    THINK_TAGS,
  ],
  ["a template that names both, tokens [THINK]", having("[THINK]", "[/THINK]"), ["<think>[THINK]"], MISTRAL],
  ["tokens of both, a template that names [THINK]", both, ["[THINK]"], MISTRAL],
  ["tokens of both and no template", both, [], THINK_TAGS],
] as const)("markers of %s", (_, tokenizer, templates, expected) => {
  expect(findReasoningMarkers(tokenizer, templates)).toEqual(expected);
});
