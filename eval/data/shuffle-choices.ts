import { createHash } from "node:crypto";
import { Random } from "../problems/random.ts";

/** The letter of an option: A for 0. */
export function letterOf(index: number): string {
  return String.fromCharCode(65 + index);
}

/**
 * Shuffles the options of a problem, the right one first in `options`. Seed and id alone decide the order, so that it does
 * not depend on which other problems are asked.
 */
export function shuffleChoices(
  options: readonly string[],
  { seed, id }: { readonly seed: number; readonly id: string },
): { readonly choices: readonly string[]; readonly rightIndex: number } {
  const hash = createHash("sha256").update(`${seed}\0${id}`).digest();
  const order = new Random(hash.readUIntBE(0, 6)).shuffled(options.map((_, index) => index));
  return { choices: order.map((index) => options[index] ?? ""), rightIndex: order.indexOf(0) };
}
