import type { Random } from "./random.ts";

/** A problem with its one right chain of thought. */
export interface Problem {
  readonly problem: string;
  /** The reasoning between the thinking markers, one line of work each. */
  readonly reasoning: string;
  readonly answer: string;
}

/** Draws a problem whose text and reasoning come to about `budget` tokens. */
export type ProblemMaker = (random: Random, budget: number) => Problem;

export const LETTERS = "abcdefghijklmnopqrstuvwxyz";

/** Arithmetic of the tasks: modulo 100, never negative. */
export function calculate(left: number, sign: string, right: number): number {
  return (sign === "+" ? left + right : left - right + 100) % 100;
}

/** Reads a key that must be present. */
export function lookUp<K, V>(map: ReadonlyMap<K, V>, key: K): V {
  const value = map.get(key);
  if (value === undefined) throw new Error(`no entry for ${String(key)}`);
  return value;
}
