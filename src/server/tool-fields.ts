/** What a request may say of tools. */
import * as v from "valibot";
import { flag } from "../base/check-options.ts";
import { RequestError } from "../base/errors.ts";
import type { ConstraintSpec } from "../constraint/constraint.ts";
import { planTools, type ToolChoice, type ToolDefinition, type ToolPlan } from "../tools/plan-tools.ts";
import { badField } from "./http-error.ts";

export const TOOL_FIELDS = {
  tools: v.optional(v.array(v.unknown(), "a list of tools")),
  tool_choice: v.optional(v.unknown()),
  parallel_tool_calls: flag(),
};

type ToolBody = v.InferOutput<v.ObjectSchema<typeof TOOL_FIELDS, undefined>>;

/**
 * Plans the tools of a body; undefined if it has none, or chooses none.
 * @param templates the model's chat templates
 * @throws HttpError 400 with the field
 */
export function toolsOf(body: ToolBody, templates: readonly string[]): ToolPlan | undefined {
  const { tools = [], tool_choice: choice, parallel_tool_calls: isParallel } = body;
  if (tools.length === 0 && choice === undefined) return undefined;
  try {
    return planTools(
      {
        tools: tools as readonly ToolDefinition[], // `planTools` checks both
        toolChoice: choice as ToolChoice | undefined,
        isParallel,
      },
      templates,
    );
  } catch (error) {
    if (!(error instanceof RequestError)) throw error;
    throw badField(/^[\w.[\]]+(?=: )/.exec(error.message)?.[0] ?? "tools", error.message);
  }
}

/**
 * Joins what tools and a form ask of the answer: a choice that asks for a call leaves no room for the form; a model that may choose
 * answers in the form, or calls.
 * @throws HttpError 400
 */
export function joinConstraints(
  plan: ToolPlan | undefined,
  form: ConstraintSpec | undefined,
  { tools = [], ...body }: ToolBody,
  templates: readonly string[],
): ConstraintSpec | undefined {
  if (!plan || !form) return plan?.constraint ?? form;
  if (plan.constraint)
    throw badField(
      "tool_choice",
      "tool_choice asks for a call, and another field for a form of the answer; give one of them",
    );
  const anyCall = toolsOf({ ...body, tools, tool_choice: "required" }, templates)?.constraint;
  return anyCall ? { sequence: [{ anyOf: [[form], [anyCall]] }] } : form;
}
