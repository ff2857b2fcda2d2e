/** Rows by cell and by problem. */
import { group } from "d3-array";
import { ConfigError } from "../../src/node/index.ts";
import type { Attempt } from "../attempts/attempt.ts";

/** The attempts of one attention policy at one task in one length. */
export interface Cell {
  readonly task: string;
  readonly length?: number;
  readonly attention: string;
  readonly metric: Attempt["metric"];
  /** Problems in the order of their ids, each with its attempts in order; the same for the same rows in any order. */
  readonly problems: ReadonlyMap<string, readonly Attempt[]>;
}

/**
 * Sorts attempts into cells, in the order in which they first appear.
 * @throws ConfigError if a cell mixes settings or metrics, or has an attempt twice
 */
export function cellsOf(attempts: readonly Attempt[]): Cell[] {
  const byCell = group(attempts, ({ task, length, attention }) =>
    JSON.stringify([task, length ?? null, attention]),
  );
  return [...byCell.values()].map(makeCell);
}

function makeCell(rows: readonly Attempt[]): Cell {
  const [first] = rows;
  if (first === undefined) throw new RangeError("a cell needs an attempt");
  const { task, length, attention, metric, settingsHash } = first;
  const name = cellName(first);
  const other = rows.find((row) => row.settingsHash !== settingsHash || row.metric !== metric);
  if (other)
    throw new ConfigError(
      `the attempts of ${name} were made under different settings (hashes ${settingsHash} and ${other.settingsHash}), ` +
        "so no mean of them says anything; keep those of one hash, or evaluate into another folder",
    );
  const byProblem = [...group(rows, ({ problemId }) => problemId)]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([id, members]) => [id, inOrder(members, name)] as const);
  return {
    task,
    ...(length === undefined ? {} : { length }),
    attention,
    metric,
    problems: new Map(byProblem),
  };
}

function inOrder(rows: readonly Attempt[], name: string): readonly Attempt[] {
  const sorted = [...rows].sort((a, b) => a.attempt - b.attempt);
  const twice = sorted.find((row, i) => row.attempt === sorted[i - 1]?.attempt);
  if (twice)
    throw new ConfigError(
      `attempt ${twice.attempt} at problem ${twice.problemId} of ${name} is there twice; merge the folders with ` +
        '"lessismore eval merge", which keeps each once',
    );
  return sorted;
}

/** Names a cell to people: "registers of 2048 tokens under quest:budget=256". */
export function cellName({
  task,
  length,
  attention,
}: Pick<Attempt, "task" | "length" | "attention">): string {
  return `${task}${length === undefined ? "" : ` of ${length} tokens`} under ${attention}`;
}
