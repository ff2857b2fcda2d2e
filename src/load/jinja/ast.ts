/** The syntax tree of a template. */
import type { Value } from "./values.ts";

export interface CallArguments {
  readonly positional: readonly Expression[];
  readonly keyword: readonly (readonly [string, Expression])[];
  readonly spread: Expression | undefined;
  readonly keywordSpread: Expression | undefined;
}

export type Expression =
  | { readonly kind: "constant"; readonly value: Value }
  | { readonly kind: "name"; readonly name: string }
  | { readonly kind: "list" | "tuple" | "concat"; readonly items: readonly Expression[] }
  | { readonly kind: "dict"; readonly pairs: readonly (readonly [Expression, Expression])[] }
  | { readonly kind: "attribute"; readonly object: Expression; readonly name: string }
  | { readonly kind: "item"; readonly object: Expression; readonly key: Expression }
  | {
      readonly kind: "slice";
      readonly object: Expression;
      readonly bounds: readonly (Expression | undefined)[];
    }
  | { readonly kind: "call"; readonly callee: Expression; readonly args: CallArguments }
  | {
      readonly kind: "filter" | "test";
      readonly name: string;
      /** undefined in a filter block, whose value is the block's body. */
      readonly value: Expression | undefined;
      readonly args: CallArguments;
    }
  | { readonly kind: "not" | "negative" | "positive"; readonly value: Expression }
  | { readonly kind: "and" | "or"; readonly left: Expression; readonly right: Expression }
  | {
      readonly kind: "binary";
      readonly operator: string;
      readonly left: Expression;
      readonly right: Expression;
    }
  | {
      readonly kind: "compare";
      readonly first: Expression;
      readonly rest: readonly (readonly [string, Expression])[];
    }
  | {
      readonly kind: "condition";
      readonly test: Expression;
      readonly value: Expression;
      readonly otherwise: Expression | undefined;
    };

export type Target =
  | { readonly kind: "name"; readonly name: string }
  | { readonly kind: "namespace"; readonly name: string; readonly attribute: string }
  | { readonly kind: "tuple"; readonly items: readonly Target[] };

export interface Parameter {
  readonly name: string;
  readonly byDefault: Expression | undefined;
}

export interface MacroShape {
  readonly name: string | undefined;
  readonly parameters: readonly Parameter[];
  readonly body: readonly Statement[];
  /** The names among `caller`, `varargs` and `kwargs` that the body reads. */
  readonly special: ReadonlySet<string>;
}

export type Statement =
  | { readonly kind: "data"; readonly text: string }
  | { readonly kind: "print"; readonly value: Expression }
  | {
      readonly kind: "for";
      readonly target: Target;
      readonly values: Expression;
      readonly test: Expression | undefined;
      readonly isRecursive: boolean;
      readonly body: readonly Statement[];
      readonly otherwise: readonly Statement[];
    }
  | {
      readonly kind: "if";
      readonly test: Expression;
      readonly body: readonly Statement[];
      readonly otherwise: readonly Statement[];
    }
  | { readonly kind: "set"; readonly target: Target; readonly value: Expression }
  | {
      readonly kind: "set-block";
      readonly target: Target;
      readonly filter: Expression | undefined;
      readonly body: readonly Statement[];
    }
  | { readonly kind: "filter-block"; readonly filter: Expression; readonly body: readonly Statement[] }
  | {
      readonly kind: "with";
      readonly pairs: readonly (readonly [Target, Expression])[];
      readonly body: readonly Statement[];
    }
  | { readonly kind: "macro"; readonly macro: MacroShape }
  | { readonly kind: "call-block"; readonly call: Expression; readonly macro: MacroShape }
  | { readonly kind: "scope"; readonly body: readonly Statement[] }
  | { readonly kind: "break" | "continue" };
