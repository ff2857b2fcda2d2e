import type { AddedToken } from "./added-tokens.ts";
import type { Fields } from "./fields.ts";
import type { Losses } from "./token-bound.ts";

const DROP_SPACE = ["WhitespaceSplit", "Whitespace", "BertPreTokenizer"];

/** Determines which characters the pre-tokenizer of a file drops or rewrites. */
export function lossesOf(file: Fields, added: readonly AddedToken[]): Losses {
  const steps = preTokenizers(file.child("pre_tokenizer"));
  const types = steps.map((step) => step.text("type"));
  const metaspace = steps.find((step) => step.text("type") === "Metaspace");
  return {
    isByteLevel: types.includes("ByteLevel"),
    dropsSpace:
      types.some((type) => DROP_SPACE.includes(type)) ||
      added.some((token) => token.takesLeft || token.takesRight),
    space: metaspace?.text("replacement", "▁") ?? " ",
    dropsMatches:
      types.includes("CharDelimiterSplit") ||
      steps.some((step) => step.raw("behavior") !== undefined && /removed/i.test(step.text("behavior"))),
  };
}

function preTokenizers(fields: Fields | undefined): readonly Fields[] {
  if (!fields) return [];
  if (fields.text("type") !== "Sequence") return [fields];
  return fields.children("pretokenizers").flatMap(preTokenizers);
}
