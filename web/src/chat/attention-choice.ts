/** What the picker of attention offers, and the specs that it makes. */
import { parseAttention } from "lessismore";

export interface AttentionKind {
  readonly name: string;
  readonly hasBudget: boolean;
}

/** The policies, the project's own first. Those that need a trained gate or maps of a model are written as a spec. */
export const ATTENTION_KINDS: readonly AttentionKind[] = [
  { name: "less-is-more", hasBudget: true },
  { name: "key-sketch", hasBudget: true },
  { name: "tidal-decode", hasBudget: true },
  { name: "quest", hasBudget: true },
  { name: "streaming-llm", hasBudget: true },
  { name: "oracle-top-k", hasBudget: true },
  { name: "random-tokens", hasBudget: true },
  { name: "full", hasBudget: false },
];

export interface AttentionChoice {
  /** A name of ATTENTION_KINDS, or "spec". */
  readonly kind: string;
  readonly budget: number;
  /** Of the kind "spec". */
  readonly spec: string;
}

export const DEFAULT_ATTENTION: AttentionChoice = { kind: "less-is-more", budget: 256, spec: "" };
/** Slider of the budget, in tokens. */
export const BUDGETS = { min: 64, max: 2048, step: 32 } as const;

export function hasBudget(choice: AttentionChoice): boolean {
  return ATTENTION_KINDS.some(({ name, hasBudget: has }) => name === choice.kind && has);
}

/** The spec of a choice. Settings that it leaves out are the checkpoint's or the policy's own. */
export function specOf(choice: AttentionChoice): string {
  if (choice.kind === "spec") return choice.spec.trim();
  return hasBudget(choice) ? `${choice.kind}:budget=${choice.budget}` : choice.kind;
}

/** What is wrong with a choice; undefined if nothing is that can be told without the model. */
export function faultOf(choice: AttentionChoice): string | undefined {
  try {
    parseAttention(specOf(choice));
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
