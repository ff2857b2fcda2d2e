/**
 * Tokens of reasoning by effort, as OpenAI's API and the AI SDK name efforts. Undefined: the model ends its reasoning by itself.
 * README.md has them for people.
 */
export const EFFORT_BUDGETS = {
  none: 0,
  minimal: 256,
  low: 1024,
  medium: 4096,
  high: 16_384,
  xhigh: 32_768,
  max: undefined,
} as const;

export type Effort = keyof typeof EFFORT_BUDGETS;

export function isEffort(value: string): value is Effort {
  return Object.hasOwn(EFFORT_BUDGETS, value);
}
