/** Prefill in chunks and decode at many lengths, against brute force in f64. Errors are NMSE of the worst row and head. */
import type { CacheDtype, Scores } from "../../src/backend/backend.ts";
import { attention, headScores, pageScore } from "../conformance/brute-force.ts";
import { makeInput, nmse } from "../conformance/random-weights.ts";
import { type Part, Trial, type TrialSequence } from "../conformance/trial.ts";
import { sizesOf } from "../sizes.ts";
import { vectorSpec } from "../weight-specs.ts";
import { CACHE_NMSE, type GpuRun, SUBGROUP_MATRIX_NMSE, testedCaches } from "./gpu.ts";
import { candidatesError } from "./pooling.ts";
import type { GpuTask } from "./rows.ts";

/** [head size, kv heads, query heads of each]: all that models have, odd numbers of query heads, the most of a workgroup. */
const HEADS: readonly (readonly [headDim: number, numKvHeads: number, groupSize: number])[] = [
  [64, 2, 4],
  [80, 1, 5],
  [96, 1, 8],
  [128, 2, 3],
];
const HIDDEN_SIZE = 128;

interface Lengths {
  /** Rows of the largest chunk. */
  readonly chunk: number;
  /** Tokens that a long prompt has cached before its last chunk. */
  readonly long: number;
  readonly decodeLengths: readonly number[];
}

function lengthsOf({ isQuick }: GpuRun): Lengths {
  return isQuick
    ? { chunk: 48, long: 96, decodeLengths: [1, 17, 65] }
    : { chunk: 1024, long: 8192, decodeLengths: [1, 16, 17, 257, 1000, 4097] };
}

/** Weights of f32 run on no subgroup matrices, whose rounding of x would move keys by whole steps of a q8 cache. */
const PREFILLS = [
  { cacheDtype: "f16", dtype: "f16" },
  { cacheDtype: "q8", dtype: "f32" },
] as const;

type Heads = (typeof HEADS)[number];

/** One task for each of `kinds` and of the heads of a run. */
function tasksOfHeads<Kind>(
  run: GpuRun,
  section: string,
  kinds: readonly Kind[],
  test: (kind: Kind, heads: Heads) => Promise<void>,
): readonly GpuTask[] {
  return kinds.flatMap((kind) =>
    (run.isQuick ? HEADS.slice(0, 1) : HEADS).map((heads) => ({
      name: `${section}, ${typeof kind === "string" ? kind : JSON.stringify(kind)}, heads ${heads.join(" ")}`,
      run: () => test(kind, heads),
    })),
  );
}

/** Tasks that compare attention; of decode first, of the longest last. */
export function attentionTasks(run: GpuRun): readonly GpuTask[] {
  const caches = testedCaches(run);
  return [
    ...tasksOfHeads(run, "decode", caches, (cacheDtype, heads) => testDecode(run, cacheDtype, heads)),
    ...caches.map((cacheDtype) => ({
      name: `Quest's bounds, ${cacheDtype}`,
      run: () => testPageScores(run, cacheDtype),
    })),
    ...(["f16", "q8"] as const).map((cacheDtype) => ({
      name: `windows, ${cacheDtype}`,
      run: () => testWindows(run, cacheDtype),
    })),
    ...tasksOfHeads(run, "prefill", PREFILLS, (dtypes, heads) => testPrefill(run, dtypes, heads)),
  ];
}

async function testPrefill(
  run: GpuRun,
  dtypes: (typeof PREFILLS)[number],
  [headDim, numKvHeads, groupSize]: Heads,
): Promise<void> {
  const lengths = lengthsOf(run);
  const trial = await openTrial(run, { headDim, numKvHeads, groupSize, ...dtypes }, lengths);
  const { cacheDtype } = dtypes;
  const heads = `head size ${headDim}, ${numKvHeads} × ${groupSize}, ${cacheDtype} cache`;
  const bound = run.hasSubgroupMatrices ? SUBGROUP_MATRIX_NMSE : CACHE_NMSE[cacheDtype];
  await attendChunks(trial, lengths, (name, error) =>
    run.rows.add("prefill", `${heads}: ${name}`, { error, bound }),
  );
  await trial.backend.close();
}

/** add: takes the error of each step */
async function attendChunks(
  trial: Trial,
  { chunk, long }: Lengths,
  add: (name: string, error: number) => void,
): Promise<void> {
  const check = async (name: string, parts: readonly Part[]) => {
    trial.run(parts);
    trial.backend.attendAll(0, { first: 0, count: parts.length }, trial.query, trial.output);
    add(name, await worstRow(trial));
  };
  const first = trial.newSequence();
  const second = trial.newSequence();
  await check(`${chunk} rows`, [trial.part(first, chunk)]);
  await check(`${chunk - 9} rows after ${chunk}`, [trial.part(first, chunk - 9)]);
  const [some, few] = [Math.floor(chunk / 2), Math.floor(chunk / 3)];
  await check(`${some}, ${few} and 1 rows of three sequences`, [
    trial.part(first, some),
    trial.part(second, few),
    trial.part(await trial.filled(5), 1),
  ]);
  const last = chunk - 247 > 0 ? chunk - 247 : chunk - 3;
  await check(`${last} rows after ${long}`, [trial.part(await trial.filled(long), last)]);
}

/** A layer with a window of no whole pages or tiles: chunks and decode steps before its edge, across it and behind it. */
async function testWindows(run: GpuRun, cacheDtype: "f16" | "q8"): Promise<void> {
  const lengths = lengthsOf(run);
  const window = run.isQuick ? 39 : 1001;
  const heads = { headDim: 64, numKvHeads: 2, groupSize: 4 };
  const open = () => openTrial(run, { ...heads, window, dtype: "f32", cacheDtype }, lengths);
  const chunks = await open();
  const add = (bound: number) => (name: string, error: number) =>
    run.rows.add("windows", `window ${window}, ${cacheDtype} cache: ${name}`, { error, bound });
  await attendChunks(
    chunks,
    lengths,
    add(run.hasSubgroupMatrices ? SUBGROUP_MATRIX_NMSE : CACHE_NMSE[cacheDtype]),
  );
  await chunks.backend.close();
  const trial = await open();
  const sequences: TrialSequence[] = [];
  for (const length of lengths.decodeLengths) sequences.push(await trial.filled(length - 1));
  trial.run(sequences.map((sequence) => trial.part(sequence, 1)));
  trial.backend.attendAll(0, { first: 0, count: sequences.length }, trial.query, trial.output);
  add(CACHE_NMSE[cacheDtype])(`rows at lengths ${lengths.decodeLengths}`, await worstRow(trial));
  await trial.backend.close();
}

async function testDecode(
  run: GpuRun,
  cacheDtype: CacheDtype,
  [headDim, numKvHeads, groupSize]: Heads,
): Promise<void> {
  const lengths = lengthsOf(run);
  // weights of f32 run on no subgroup matrices: the cache alone is what rounds
  const trial = await openTrial(run, { headDim, numKvHeads, groupSize, dtype: "f32", cacheDtype }, lengths);
  const bound = CACHE_NMSE[cacheDtype];
  const name = `head size ${headDim}, ${numKvHeads} × ${groupSize}, ${cacheDtype} cache`;
  const sequences: TrialSequence[] = [];
  for (const length of lengths.decodeLengths) {
    sequences.push(await trial.filled(length - 1));
  }
  trial.run(sequences.map((sequence) => trial.part(sequence, 1)));
  const add = (what: string, error: number) => run.rows.add("decode", `${name}: ${what}`, { error, bound });
  const scores = newScores(trial, 1);
  const range = { first: 0, count: sequences.length };
  trial.backend.attendAll(0, range, trial.query, trial.output, scores);
  add("attendAll", await worstRow(trial));
  add("its scores", await scoresError(trial, scores, (query, keys) => headScores(query, keys)));
  add("attendSelected", await selectedError(trial));
  add("selectedScores", await candidatesError(trial));
  await trial.backend.close();
}

/** Quest's bounds of pages filled by chunks and decode steps. */
async function testPageScores(run: GpuRun, cacheDtype: CacheDtype): Promise<void> {
  const lengths = lengthsOf(run);
  const heads = { headDim: 64, numKvHeads: 2, groupSize: 4 };
  const trial = await openTrial(run, { ...heads, dtype: "f32", cacheDtype }, lengths);
  const sequence = trial.newSequence();
  for (const rows of [lengths.chunk, lengths.chunk - 9, 1, 1]) {
    trial.run([trial.part(sequence, rows)]);
    trial.backend.updatePageBounds(0, { first: 0, count: 1 });
  }
  const unit = trial.backend.capacity.pageSize;
  const scores = newScores(trial, unit);
  trial.backend.pageScores(0, { first: 0, count: 1 }, trial.query, scores);
  const error = await scoresError(trial, scores, (query, keys) =>
    Array.from({ length: Math.ceil(keys.length / unit) }, (_, page) =>
      pageScore(query, keys.slice(page * unit, (page + 1) * unit)),
    ),
  );
  run.rows.add("decode", `Quest's bounds, ${cacheDtype} cache`, {
    error,
    bound: CACHE_NMSE[cacheDtype],
  });
  await trial.backend.close();
}

interface TrialOptions {
  readonly headDim: number;
  readonly numKvHeads: number;
  readonly groupSize: number;
  readonly dtype: "f32" | "f16";
  readonly cacheDtype: CacheDtype;
  readonly window?: number;
}

/** A layer whose scores spread by one or two, so that attention is neither flat nor one key's. */
async function openTrial(run: GpuRun, options: TrialOptions, { chunk, long }: Lengths): Promise<Trial> {
  const { headDim, numKvHeads, groupSize, dtype, cacheDtype, window } = options;
  const maxSequenceLength = Math.max(long, 3 * chunk) + chunk;
  const sizes = sizesOf({
    ...{ headDim, numKvHeads, numQueryHeads: numKvHeads * groupSize, hiddenSize: HIDDEN_SIZE },
    ...{ maxSequenceLength, maxPages: Math.ceil(maxSequenceLength / 16) + Math.ceil((5 * chunk) / 16) },
    ...{ maxBatchRows: chunk, maxBatchSequences: 8 },
    ...(window !== undefined && { layers: [{ rope: 0, window }] }),
  });
  const backend = await run.openOn(cacheDtype)(...sizes);
  const trial = new Trial(backend, headDim, cacheDtype);
  const input = makeInput(backend, trial.random, { dtype });
  const values = new Float64Array(HIDDEN_SIZE).fill(dtype === "f16" ? 1 : 0.6);
  const bytes = new Uint8Array(Float32Array.from(values).buffer);
  const ref = backend.createWeight(vectorSpec("norm", "f32", HIDDEN_SIZE));
  backend.writeWeight(ref, 0, bytes);
  const plain = { rows: 1, cols: HIDDEN_SIZE, values: Float64Array.from(values, Math.fround) };
  return trial.useInputs([{ ...input, norm: { ref, plain, bytes } }]);
}

/** Rows of a part to look at: both ends, edges of tiles, and some others. Brute force of all would take minutes. */
function rowsToCheck(trial: Trial, count: number): number[] {
  const wanted = [0, 1, 15, 16, 17, 63, 64, 127, 128, count - 17, count - 2, count - 1];
  const others = Array.from({ length: 6 }, () => trial.random.below(count));
  return [...new Set([...wanted, ...others])].filter((row) => row >= 0 && row < count);
}

/** The largest NMSE of a row and head of attendAll's output. */
async function worstRow(trial: Trial): Promise<number> {
  const { numQueryHeads, headDim, layers } = trial.backend.model;
  const { window = Number.POSITIVE_INFINITY } = layers[0];
  const output = await trial.floats(trial.output);
  let worst = 0;
  for (const [s, { sequence, rows }] of trial.parts.entries())
    for (const i of rowsToCheck(trial, rows.length)) {
      const row = trial.batch.firstRows[s] + i;
      const visible = sequence.length - rows.length + i + 1;
      for (let h = 0; h < numQueryHeads; h++) {
        const seen = [Math.max(0, visible - window), visible] as const;
        const keys = trial.keysOf(sequence, 0, h).slice(...seen);
        const values = trial.valuesOf(sequence, 0, h).slice(...seen);
        const at = (row * numQueryHeads + h) * headDim;
        const expected = attention(trial.queries[row][h], keys, values);
        worst = worseOf(worst, nmse(output.subarray(at, at + headDim), expected));
      }
    }
  return worst;
}

/** NaN, which no comparison finds larger, counts as worst. */
function worseOf(a: number, b: number): number {
  return b <= a ? a : b;
}

function newScores(trial: Trial, unit: number): Scores {
  const { numQueryHeads } = trial.backend.model;
  const { maxBatchSequences, maxSequenceLength } = trial.backend.capacity;
  const capacity = Math.ceil(maxSequenceLength / unit);
  return {
    values: trial.tensor("f32", maxBatchSequences, numQueryHeads, capacity),
    heads: numQueryHeads,
    unit,
  };
}

/** The largest NMSE of a sequence's scores of all heads together: one score near 0 has no relative precision. */
async function scoresError(
  trial: Trial,
  scores: Scores,
  expectedOf: (query: Float64Array, keys: readonly Float64Array[]) => readonly number[],
): Promise<number> {
  const given = await trial.floats(scores.values);
  const capacity = scores.values.shape[2];
  let worst = 0;
  for (const [s, { sequence }] of trial.parts.entries()) {
    const [actual, expected]: [number[], number[]] = [[], []];
    for (const [h, query] of trial.queries[s].entries()) {
      const wanted = expectedOf(query, trial.keysOf(sequence, 0, h));
      const start = (s * scores.heads + h) * capacity;
      expected.push(...wanted);
      actual.push(...given.subarray(start, start + wanted.length));
    }
    worst = worseOf(worst, nmse(actual, expected));
  }
  return worst;
}

/** attendSelected of random tokens for each kv head. */
async function selectedError(trial: Trial): Promise<number> {
  const { numKvHeads, numQueryHeads, headDim } = trial.backend.model;
  const { maxSequenceLength } = trial.backend.capacity;
  const positions = trial.parts.map(({ sequence: { length } }) => {
    const count = 1 + trial.random.below(length);
    return Array.from({ length: numKvHeads }, () => trial.random.subset(length, count));
  });
  const selection = trial.selection(positions, maxSequenceLength);
  const range = { first: 0, count: trial.parts.length };
  trial.backend.attendSelected(0, range, trial.query, selection, trial.output);
  const output = await trial.floats(trial.output);
  let worst = 0;
  for (const [s, { sequence }] of trial.parts.entries())
    for (const [h, query] of trial.queries[s].entries()) {
      const chosen = positions[s][trial.kvHead(h)];
      const pick = (all: readonly Float64Array[]) => chosen.map((t) => all[t]);
      const expected = attention(
        query,
        pick(trial.keysOf(sequence, 0, h)),
        pick(trial.valuesOf(sequence, 0, h)),
      );
      const at = (s * numQueryHeads + h) * headDim;
      worst = worseOf(worst, nmse(output.subarray(at, at + headDim), expected));
    }
  return worst;
}
