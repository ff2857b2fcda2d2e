/** What an answer can be. */
import type { Expression } from "./expression.ts";

export type Relation = "=" | "!=" | "<" | ">" | "<=" | ">=";
export type SetOperation = "∪" | "∩" | "∖";

export type Answer =
  /** unit: in one spelling, absent where none or an unknown one was given. "percent" is one. */
  | { readonly kind: "expression"; readonly expression: Expression; readonly unit?: string }
  /** Values without brackets, in any order: 1, -2. */
  | { readonly kind: "list"; readonly items: readonly Answer[] }
  | { readonly kind: "set"; readonly items: readonly Answer[] }
  /** Ordered values in brackets: a point, a vector or, of two, an interval. */
  | {
      readonly kind: "tuple";
      readonly open: "(" | "[";
      readonly close: ")" | "]";
      readonly items: readonly Answer[];
    }
  | { readonly kind: "combination"; readonly operation: SetOperation; readonly parts: readonly Answer[] }
  | {
      readonly kind: "matrix";
      readonly isDeterminant: boolean;
      readonly rows: readonly (readonly Answer[])[];
    }
  /** a < b <= c: one relation fewer than sides. */
  | {
      readonly kind: "relation";
      readonly sides: readonly Expression[];
      readonly relations: readonly Relation[];
    }
  /** A name and its value: x = 5, f(x) = 2x, \text{Area} = 3. */
  | { readonly kind: "assignment"; readonly name: string; readonly value: Answer; readonly equation?: Answer }
  /** isClock: written with a leading zero, such as 12:05, or with the half of the day, and so a time of day. */
  | {
      readonly kind: "ratio";
      readonly parts: readonly Expression[];
      readonly isClock: boolean;
      readonly half?: "am" | "pm";
    }
  | { readonly kind: "text"; readonly text: string };
