import { type AttentionPolicy, DENSE } from "../policy.ts";

/** Full attention: every layer attends to every cached token. What all other policies are measured against. */
export function full(): AttentionPolicy {
  return { name: "full", settings: {}, tokenBudget: Number.POSITIVE_INFINITY, layerRole: () => DENSE };
}
