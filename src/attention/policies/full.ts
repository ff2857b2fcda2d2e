import { type AttentionPolicy, DENSE } from "../policy.ts";

/** Full attention: every layer attends to every cached token. The yardstick of all other policies. */
export function full(): AttentionPolicy {
  return { name: "full", settings: {}, tokenBudget: Number.POSITIVE_INFINITY, layerRole: () => DENSE };
}
