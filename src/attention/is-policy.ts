import type { AttentionPolicy } from "./policy.ts";

/** One line without blanks, so that reports, tables and file names can have it. */
const NAME = /^[^\s\p{C}:]{1,64}$/u;

/** True for what a spec can spell: a number, a text, true or false, or a list of them; undefined is not known yet. */
function isSetting(value: unknown): boolean {
  if (Array.isArray(value)) return value.every((one) => !Array.isArray(one) && isSetting(one));
  return (
    value === undefined || value === null || ["number", "bigint", "string", "boolean"].includes(typeof value)
  );
}

function isShare(value: unknown): boolean {
  return typeof value === "number" && value >= 0 && value < 1;
}

/** True for a value with the members of a policy. The results of its functions are checked when they run. */
export function isPolicy(value: unknown): value is AttentionPolicy {
  if (typeof value !== "object" || value === null) return false;
  const policy = value as Partial<Record<keyof AttentionPolicy, unknown>>;
  const { name, settings, tokenBudget, layerRole } = policy;
  const isOptional = (key: keyof AttentionPolicy, type: string) =>
    policy[key] === undefined || typeof policy[key] === type;
  return (
    typeof name === "string" &&
    NAME.test(name) &&
    typeof settings === "object" &&
    settings !== null &&
    Object.values(settings).every(isSetting) &&
    typeof tokenBudget === "number" &&
    tokenBudget >= 1 &&
    typeof layerRole === "function" &&
    isOptional("select", "function") &&
    isOptional("forModel", "function") &&
    isOptional("load", "function") &&
    isOptional("gate", "object") &&
    isOptional("denseLength", "number") &&
    (policy.budgetShare === undefined || isShare(policy.budgetShare)) &&
    policy.gate !== null &&
    (policy.keySketch === undefined || policy.keySketch === true) &&
    (policy.pageBounds === undefined ||
      (Number.isSafeInteger(policy.pageBounds) && Number(policy.pageBounds) >= 1))
  );
}
