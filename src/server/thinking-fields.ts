/** What a request may say of reasoning: on or off, an effort, or a budget of tokens. */
import type * as v from "valibot";
import { oneOf, wholeNumberFrom } from "../base/check-options.ts";
import { EFFORT_BUDGETS } from "../engine/effort-budgets.ts";

export const THINKING_FIELDS = {
  reasoning_effort: oneOf(["none", "minimal", "low", "medium", "high", "xhigh", "max"]),
  thinking_budget: wholeNumberFrom(0),
  /** The name in other servers. */
  thinking_token_budget: wholeNumberFrom(0),
};

type ThinkingBody = v.InferOutput<v.ObjectSchema<typeof THINKING_FIELDS, undefined>>;

/** Variables of a chat template that a caller gives. */
type TemplateOptions = Readonly<Record<string, unknown>>;

/**
 * Returns the budget, and the template's variables: the effort "none" also turns the reasoning off in the template, unless the
 * request says otherwise. A budget in tokens wins over an effort.
 */
export function thinkingOf(
  body: ThinkingBody,
  options: TemplateOptions = {},
): { readonly thinkingBudget: number | undefined; readonly options: TemplateOptions } {
  const { reasoning_effort: effort } = body;
  const given = body.thinking_budget ?? body.thinking_token_budget;
  const thinkingBudget = given ?? (effort === undefined ? undefined : EFFORT_BUDGETS[effort]);
  const isOff = effort === "none" && given === undefined;
  return { thinkingBudget, options: isOff ? { enable_thinking: false, ...options } : options };
}
