import type { Attributes } from "./attributes.ts";
import type { Budget } from "./budget.ts";
import type { Arguments, Value } from "./values.ts";

/** What filters need of a render. */
export interface FilterContext {
  readonly budget: Budget;
  readonly attributes: Attributes;
  /** Applies a filter or a test by its name, for `map`, `select` and their like. */
  filter(name: string, value: Value, args: Arguments): Value;
  test(name: string, value: Value, args: Arguments): boolean;
}

export type Filter = (value: Value, args: Arguments, context: FilterContext) => Value;
