import type { AttentionPolicy } from "./policy.ts";

/** True for a value with the members of a policy. The results of its functions are checked when they run. */
export function isPolicy(value: unknown): value is AttentionPolicy {
  if (typeof value !== "object" || value === null) return false;
  const policy = value as Partial<Record<keyof AttentionPolicy, unknown>>;
  const { name, settings, tokenBudget, layerRole } = policy;
  const isOptional = (key: keyof AttentionPolicy, type: string) =>
    policy[key] === undefined || typeof policy[key] === type;
  return (
    typeof name === "string" &&
    typeof settings === "object" &&
    settings !== null &&
    typeof tokenBudget === "number" &&
    tokenBudget >= 1 &&
    typeof layerRole === "function" &&
    isOptional("select", "function") &&
    isOptional("forModel", "function") &&
    (policy.pageBounds === undefined ||
      (Number.isSafeInteger(policy.pageBounds) && Number(policy.pageBounds) >= 1))
  );
}
