/** Patterns of texts, read. */
import { ALL_POINTS, type PointRange } from "./code-points.ts";
import type { Part } from "./program.ts";

export type Pattern =
  | { readonly kind: "set"; readonly set: readonly PointRange[] }
  | { readonly kind: "sequence"; readonly items: readonly Pattern[] }
  | { readonly kind: "choice"; readonly items: readonly Pattern[] }
  | {
      readonly kind: "repeat";
      readonly item: Pattern;
      readonly min: number;
      readonly max: number | undefined;
    }
  | { readonly kind: "start" | "end" }
  | { readonly kind: "look"; readonly item: Pattern; readonly isNegated: boolean };

/** How the characters of a pattern are written: as they are, or escaped inside a JSON string. */
export type WriteSet = (set: readonly PointRange[]) => Part;

export interface Lengths {
  readonly min: number;
  /** Infinity: no limit. */
  readonly max: number;
}

/** Any text, as a pattern. */
export const ANY_TEXT: Pattern = {
  kind: "repeat",
  item: { kind: "set", set: ALL_POINTS },
  ...{ min: 0, max: undefined },
};

/** The code points of the shortest and the longest text of a pattern. */
export function lengthsOf(pattern: Pattern): Lengths {
  switch (pattern.kind) {
    case "set":
      return { min: 1, max: 1 };
    case "sequence": {
      const all = pattern.items.map(lengthsOf);
      return {
        min: all.reduce((sum, { min }) => sum + min, 0),
        max: all.reduce((sum, { max }) => sum + max, 0),
      };
    }
    case "choice": {
      const all = pattern.items.map(lengthsOf);
      return { min: Math.min(...all.map(({ min }) => min)), max: Math.max(...all.map(({ max }) => max)) };
    }
    case "repeat": {
      const { min, max } = lengthsOf(pattern.item);
      const times = pattern.max ?? Number.POSITIVE_INFINITY;
      return { min: min * pattern.min, max: max === 0 || times === 0 ? 0 : max * times };
    }
    default:
      return { min: 0, max: 0 };
  }
}
