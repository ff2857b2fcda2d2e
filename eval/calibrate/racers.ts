/** Settings that solve problems: labels, where there are any, decide. */
import type { Ranked, Search } from "./search.ts";

/** Found settings that race, beside those whose budget grows. */
const MOST_FOUND = 6;

/** Settings may be so far from full attention, and read so much. */
interface Limits {
  readonly tolerance: number;
  readonly maxRead: number;
}

/**
 * The chosen setting, and others that are near to full attention, evenly from the cheapest to the dearest.
 * shortest: adds to each one whose budget is the same at this length and grows in proportion to longer ones
 */
export function racersOf(
  { chosen, finalists, first }: Pick<Search, "chosen" | "finalists" | "first">,
  { tolerance, maxRead }: Limits,
  shortest?: number,
): string[] {
  const known = new Map([...first, ...finalists].map((one) => [one.spec, one]));
  known.delete(chosen.spec);
  const others = [...known.values()]
    .filter(({ divergence, attendedFraction }) => divergence <= tolerance && attendedFraction <= maxRead)
    .sort((a, b) => a.attendedFraction - b.attendedFraction);
  const count = Math.min(MOST_FOUND - 1, others.length);
  const even = Array.from(
    { length: count },
    (_, i) => others[count === 1 ? 0 : Math.round((i * (others.length - 1)) / (count - 1))]?.spec ?? "",
  );
  const found = [chosen.spec, ...even];
  return shortest === undefined ? found : found.flatMap((spec) => [spec, growing(spec, shortest)]);
}

/** What was found of a racer: of one whose budget grows, what was found of the one beside it. */
export function withSpec(
  { finalists, first }: Pick<Search, "finalists" | "first">,
  spec: string | undefined,
): Ranked | undefined {
  if (spec === undefined) return undefined;
  const found = [...finalists, ...first].find((one) => one.spec === withoutShare(spec));
  return found && { ...found, spec };
}

const SHARE = /,share=[0-9.]+/;

/** A spec whose budget at `length` tokens is the same, and in longer sequences the same share of them. */
function growing(spec: string, length: number): string {
  return spec.replace(/budget=(\d+)/, (budget, tokens) => `${budget},share=${Number(tokens) / length}`);
}

function withoutShare(spec: string): string {
  return spec.replace(SHARE, "");
}
