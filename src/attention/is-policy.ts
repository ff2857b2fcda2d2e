import type { AttentionPolicy } from "./policy.ts";

/** Whether a value that a caller gave has the shape of a policy. What its functions give shows only when they run. */
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
