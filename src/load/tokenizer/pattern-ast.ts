/** Syntax trees of regular expressions in the dialect of Oniguruma, the library of `tokenizers`. */

export type Pattern =
  | { readonly kind: "empty" }
  /** Matches one code point of a set; `source` is a character class in JavaScript's `v` mode. */
  | { readonly kind: "set"; readonly source: string }
  | { readonly kind: "sequence"; readonly items: readonly Pattern[] }
  | { readonly kind: "choice"; readonly items: readonly Pattern[] }
  | {
      readonly kind: "repeat";
      readonly item: Pattern;
      readonly min: number;
      /** Infinity for an unbounded repetition. */
      readonly max: number;
      readonly isGreedy: boolean;
    }
  /** Keeps the first match of `item`: backtracking does not enter it. */
  | { readonly kind: "atomic"; readonly item: Pattern }
  | {
      readonly kind: "lookaround";
      readonly item: Pattern;
      readonly isBehind: boolean;
      readonly isNegated: boolean;
    }
  /** Matches a position between code points: a JavaScript assertion in `v` mode without loops. */
  | { readonly kind: "assertion"; readonly source: string };

/** The pattern is not a regular expression, or uses an unsupported construct. */
export class PatternError extends Error {}

/** Maximum code points of a pattern; patterns in use have under 500. */
export const MAX_PATTERN = 10_000;
/** Maximum bound of a counted repetition. */
export const MAX_COUNT = 1_000;
/** Maximum nesting of groups and classes. */
export const MAX_NESTING = 100;
