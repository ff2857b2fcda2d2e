/** Budgets: their settings, their growth with the sequence, their split into ranked and always-kept tokens. */
import type { KeptEnds } from "../backend/backend.ts";
import { ConfigError } from "../base/errors.ts";
import { printValue } from "../base/print-value.ts";
import type { AttentionPolicy } from "./policy.ts";
import { orDefault, wholeNumber } from "./settings.ts";

/** Settings of a policy whose budget may grow. */
export interface BudgetOptions {
  /** Tokens that a sparse layer attends to. Default 2048. */
  readonly tokenBudget?: number;
  /** The budget of a sequence is at least this share of its length, from 0 to below 1. Default 0: `tokenBudget` whatever the length. */
  readonly budgetShare?: number;
}

/** The options of `BudgetOptions`, for `knownKeys`. */
export const BUDGET_KEYS = ["tokenBudget", "budgetShare"] as const;

/** Members of a policy that its budget decides. */
interface Budget {
  readonly limits: Pick<AttentionPolicy, "tokenBudget" | "budgetShare">;
  /** As a spec spells them. */
  readonly settings: { readonly budget: number; readonly share?: number };
}

/** least: the smallest budget with which the policy works. @throws ConfigError on a budget or a share that cannot be */
export function readBudget(policy: string, options: BudgetOptions, least: number): Budget {
  const budget = wholeNumber(policy, "budget", orDefault(options.tokenBudget, 2048), least);
  const share = orDefault(options.budgetShare, 0);
  if (typeof share !== "number" || !(share >= 0 && share < 1))
    throw new ConfigError(
      `attention ${policy}: share must be a share of the length from 0 to below 1, got ${printValue(share)}`,
    );
  return {
    limits: { tokenBudget: budget, ...(share > 0 && { budgetShare: share }) },
    settings: { budget, ...(share > 0 && { share }) },
  };
}

/**
 * Tokens that a sparse layer attends to in a sequence of `length` tokens. A share of the length is rounded up to one of sixteen
 * sizes an octave, at most a sixteenth more: sequences of similar lengths have one budget, and so select together.
 */
export function budgetAt(
  { tokenBudget, budgetShare = 0 }: Pick<AttentionPolicy, "tokenBudget" | "budgetShare">,
  length: number,
): number {
  const wanted = Math.ceil(budgetShare * length);
  if (wanted <= tokenBudget) return tokenBudget;
  const step = 1 << Math.max(0, 27 - Math.clz32(wanted));
  return Math.ceil(wanted / step) * step;
}

/** True if a decode step of this length attends sparsely: the sequence no longer fits the budget. */
export function isSparseAt(policy: AttentionPolicy, length: number): boolean {
  return length > (policy.denseLength ?? budgetAt(policy, length));
}

/** Splits the budget exactly into ranked and always-kept tokens. The 1e-9 undoes the rounding of 1 - share. */
export function splitBudget(
  tokenBudget: number,
  recencyShare: number,
  sinks: number,
): { readonly ranked: number; readonly ends: KeptEnds } {
  const shared = tokenBudget - Math.trunc(tokenBudget * (1 - recencyShare) + 1e-9);
  const kept = shared < sinks ? 0 : sinks;
  const recent = Math.max(1, shared - kept);
  return { ranked: tokenBudget - kept - recent, ends: { sinks: kept, recent } };
}
