/** Comparisons of a run on a GPU, row by row, and the tasks that make them. */
import { ConfigError } from "../../src/base/errors.ts";

export interface GpuRow {
  readonly section: string;
  readonly name: string;
  /** NMSE, share of the largest logit, or places that differ: the section says which. */
  readonly error: number;
  readonly bound: number;
  readonly isRight: boolean;
}

/** A part of a run, with a device or brute force of its own. */
export interface GpuTask {
  readonly name: string;
  readonly run: () => Promise<void>;
}

/** One of `of` calls that together run all; 1 is the first. */
export interface Shard {
  readonly index: number;
  readonly of: number;
}

/** Reads "I/N". @throws ConfigError */
export function parseShard(text: string): Shard {
  const [, index = 0, of = 0] = (/^(\d+)\/(\d+)$/.exec(text) ?? []).map(Number);
  if (index < 1 || index > of)
    throw new ConfigError(`--shard ${text}: expected I/N with 1 <= I <= N, such as 1/2`);
  return { index, of };
}

/** The tasks of a shard. Neighbours, which are alike, go to different ones. */
export function shardOf(tasks: readonly GpuTask[], { index, of }: Shard): readonly GpuTask[] {
  return tasks.filter((_, i) => i % of === index - 1);
}

export class GpuRows {
  readonly all: GpuRow[] = [];
  readonly #print: (line: string) => void;

  constructor(print: (line: string) => void) {
    this.#print = print;
  }

  add(section: string, name: string, { error, bound }: { error: number; bound: number }): void {
    const isRight = error <= bound;
    this.all.push({ section, name, error, bound, isRight });
    this.#print(
      `${isRight ? "ok    " : "FAILED"} ${section}: ${name}: ${show(error)}, allowed ${show(bound)}`,
    );
  }

  get numFailed(): number {
    return this.all.filter(({ isRight }) => !isRight).length;
  }

  /** The row of each section that comes nearest to its bound, or passes it by most. */
  get worst(): readonly GpuRow[] {
    const worst = new Map<string, GpuRow>();
    for (const row of this.all) {
      const before = worst.get(row.section);
      if (!before || shareOf(row) > shareOf(before)) worst.set(row.section, row);
    }
    return [...worst.values()];
  }
}

/** NaN is past every bound. */
function shareOf({ error, bound }: GpuRow): number {
  if (Number.isNaN(error)) return Number.POSITIVE_INFINITY;
  return bound === 0 ? error : error / bound;
}

function show(value: number): string {
  return Number.isInteger(value) ? String(value) : value.toExponential(1);
}
