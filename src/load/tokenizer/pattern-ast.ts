/** A regular expression of Oniguruma, the library that `tokenizers` matches with, as a tree. */

export type Pattern =
  | { readonly kind: "empty" }
  /** One code point of a set; `source` is a class of JavaScript's `v` mode. */
  | { readonly kind: "set"; readonly source: string }
  | { readonly kind: "sequence"; readonly items: readonly Pattern[] }
  | { readonly kind: "choice"; readonly items: readonly Pattern[] }
  | {
      readonly kind: "repeat";
      readonly item: Pattern;
      readonly min: number;
      /** Infinity: no bound. */
      readonly max: number;
      readonly isGreedy: boolean;
    }
  /** What is in it is never matched a second way. */
  | { readonly kind: "atomic"; readonly item: Pattern }
  | { readonly kind: "look"; readonly item: Pattern; readonly isBehind: boolean; readonly isNegated: boolean }
  /** A place between code points: a JavaScript assertion of `v` mode without loops. */
  | { readonly kind: "place"; readonly source: string };

/** A pattern that is no regular expression, or has a part that is not here. */
export class PatternError extends Error {}

/** Most code points that a class, group or repetition may be written in; patterns in use have under 500. */
export const MAX_PATTERN = 10_000;
/** Most repetitions that are counted out. */
export const MAX_COUNT = 1_000;
/** Deepest nesting of groups and classes. */
export const MAX_NESTING = 100;
