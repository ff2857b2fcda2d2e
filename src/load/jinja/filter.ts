import type { Attributes } from "./attributes.ts";
import type { Budget } from "./budget.ts";
import type { Arguments, Value } from "./values.ts";

/** The parts of a render that filters use. */
export interface FilterContext {
  readonly budget: Budget;
  readonly attributes: Attributes;
  /** Applies a filter by name, for `map`. */
  filter(name: string, value: Value, args: Arguments): Value;
  /** Applies a test by name, for `select`, `reject` and the like. */
  test(name: string, value: Value, args: Arguments): boolean;
}

export type Filter = (value: Value, args: Arguments, context: FilterContext) => Value;
