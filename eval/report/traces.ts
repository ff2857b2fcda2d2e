/** Traces of sampled decode steps, `traces/*.jsonl` and `trace*.jsonl` in a run's folder, summed up by attention. */
import { createReadStream } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { mean } from "d3-array";
import * as v from "valibot";
import { ModelFileError } from "../../src/node/index.ts";
import { listTraces, TRACES_FOLDER } from "../attempts/trace-files.ts";
import { type LayerSummary, TraceAccumulator, type TraceSummary } from "../metrics/trace-summary.ts";

const share = v.pipe(v.number(), v.finite());
const amount = v.pipe(v.number(), v.finite(), v.minValue(0));
const matrix = v.array(v.array(share));
const RECORD = v.object({
  attention: v.string(),
  settingsHash: v.optional(v.string()),
  position: v.pipe(v.number(), v.integer(), v.minValue(0)),
  isSparse: v.boolean(),
  attendedFraction: amount,
  kvBytes: amount,
  layers: v.array(
    v.object({
      layer: v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(4095)),
      recall: v.optional(v.array(share)),
      outputError: v.optional(v.array(share)),
      headOverlap: v.optional(matrix),
      mergeDepth: v.optional(amount),
    }),
  ),
  layerOverlap: v.optional(v.array(v.array(v.nullable(share)))),
  stepOverlap: v.optional(v.array(v.nullable(share))),
});
type TraceRecord = v.InferOutput<typeof RECORD>;

/** What the traces of an attention say. */
export interface MethodTrace {
  readonly attention: string;
  readonly summary: TraceSummary;
  /** Mean recall over layers and heads of sparse steps, by tokens cached, in order; means of neighbours if there are many. */
  readonly recall: readonly RecallPoint[];
  /** Mean Jaccard index of the selections of two layers, by their numbers. */
  readonly layerOverlap: readonly Overlap[];
  /** The same of two query heads, mean over layers. */
  readonly headOverlap: readonly Overlap[];
}

export interface RecallPoint {
  readonly position: number;
  readonly recall: number;
}

export interface Overlap {
  readonly a: number;
  readonly b: number;
  readonly overlap: number;
}

/** Points of a line of recall. */
const MAX_POINTS = 48;

/**
 * Reads the traces of a folder; lines that are no trace are counted in the notes.
 * current: hashes of settings; traces under others are left out, those without a hash are not
 * @throws ModelFileError if a file cannot be read
 */
export async function readTraces(
  folder: string,
  current: ReadonlySet<string>,
): Promise<{ traces: MethodTrace[]; notes: string[] }> {
  const sums = new Map<string, TraceSums>();
  const notes: string[] = [];
  for (const name of await traceNames(folder)) {
    const damaged = await addFile(join(folder, name), sums, current);
    if (damaged > 0) notes.push(`${name}: ${damaged} lines are no trace and were left out`);
  }
  return { traces: [...sums.values()].map((sum) => sum.end()), notes };
}

async function traceNames(folder: string): Promise<string[]> {
  const own = (await listTraces(folder)).map((name) => join(TRACES_FOLDER, name));
  try {
    const others = (await readdir(folder)).filter((name) => /^trace.*\.jsonl$/.test(name)).sort();
    return [...own, ...others];
  } catch (cause) {
    throw new ModelFileError(`reading the traces in ${folder}: ${String(cause)}`, { cause });
  }
}

/** @returns the number of lines that are no trace */
async function addFile(
  path: string,
  sums: Map<string, TraceSums>,
  current: ReadonlySet<string>,
): Promise<number> {
  let damaged = 0;
  try {
    for await (const line of createInterface({ input: createReadStream(path, "utf8") })) {
      if (line.trim() === "") continue;
      const record = parseRecord(line);
      if (record === undefined) damaged++;
      if (record === undefined || !isCurrent(record, current)) continue;
      const sum = sums.get(record.attention) ?? new TraceSums(record.attention);
      sums.set(record.attention, sum);
      sum.add(record);
    }
  } catch (cause) {
    throw new ModelFileError(`reading ${path}: ${String(cause)}`, { cause });
  }
  return damaged;
}

function isCurrent({ settingsHash }: TraceRecord, current: ReadonlySet<string>): boolean {
  return settingsHash === undefined || current.has(settingsHash);
}

function parseRecord(line: string): TraceRecord | undefined {
  try {
    const { success, output } = v.safeParse(RECORD, JSON.parse(line));
    return success ? output : undefined;
  } catch {
    return undefined; // no JSON
  }
}

interface Sum {
  sum: number;
  count: number;
}

class TraceSums {
  readonly #attention: string;
  readonly #all: TraceAccumulator;
  readonly #recall = new Map<number, Sum>();

  constructor(attention: string) {
    this.#attention = attention;
    this.#all = new TraceAccumulator(attention);
  }

  add(record: TraceRecord): void {
    this.#all.add(record);
    if (!record.isSparse) return;
    const values = record.layers.flatMap(({ recall = [] }) => recall);
    if (values.length === 0) return;
    const point = this.#recall.get(record.position) ?? { sum: 0, count: 0 };
    this.#recall.set(record.position, point);
    for (const value of values) point.sum += value;
    point.count += values.length;
  }

  end(): MethodTrace {
    const { summary } = this.#all;
    const { layers } = summary;
    return {
      ...{ attention: this.#attention, summary, recall: thinned(this.#recall) },
      layerOverlap: summary.layerOverlap.flatMap((row, i) =>
        row.flatMap((overlap, j): Overlap[] => {
          const [a, b] = [layers[i]?.layer, layers[j]?.layer];
          return overlap === null || a === undefined || b === undefined ? [] : [{ a, b, overlap }];
        }),
      ),
      headOverlap: meanHeads(layers),
    };
  }
}

/** Means of neighbouring positions, so that a line has at most so many points. */
function thinned(sums: ReadonlyMap<number, Sum>): RecallPoint[] {
  const positions = [...sums.keys()].sort((a, b) => a - b);
  const first = positions[0] ?? 0;
  const width = Math.max(1, ((positions.at(-1) ?? 0) - first + 1) / MAX_POINTS);
  const bins = new Map<number, { at: number[] } & Sum>();
  for (const position of positions) {
    const bin = Math.floor((position - first) / width);
    const found = bins.get(bin) ?? { at: [], sum: 0, count: 0 };
    bins.set(bin, found);
    found.at.push(position);
    found.sum += sums.get(position)?.sum ?? 0;
    found.count += sums.get(position)?.count ?? 0;
  }
  return [...bins.values()].map(({ at, sum, count }) => ({ position: mean(at) ?? 0, recall: sum / count }));
}

function meanHeads(layers: readonly LayerSummary[]): Overlap[] {
  const sums = new Map<string, Overlap & Sum>();
  for (const { headOverlap = [] } of layers)
    for (const [a, row] of headOverlap.entries())
      for (const [b, value] of row.entries()) {
        const cell = sums.get(`${a} ${b}`) ?? { a, b, overlap: 0, sum: 0, count: 0 };
        sums.set(`${a} ${b}`, cell);
        cell.sum += value;
        cell.count++;
      }
  return [...sums.values()].map(({ a, b, sum, count }) => ({ a, b, overlap: sum / count }));
}
