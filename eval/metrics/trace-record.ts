import type { StepTrace } from "../../src/node/index.ts";
import {
  attendedFraction,
  headOverlap,
  kvBytes,
  layerOverlap,
  outputError,
  recall,
  stepOverlap,
} from "./attention-metrics.ts";

/** Where a trace comes from. */
export interface TraceSource {
  /** The attention policy as a spec with all its settings. */
  readonly attention: string;
  readonly task?: string;
  /** Tokens of the problem, of tasks that come in lengths. */
  readonly length?: number;
  readonly problemId?: string;
  /** Hash of the settings under which an evaluation made the response. */
  readonly settingsHash?: string;
  /** Decode steps from one sample to the next. */
  readonly every?: number;
}

/** One sampled decode step: one line of a trace file. Shares and errors have four significant digits. */
export interface TraceRecord extends TraceSource {
  /** Number of the decode step, from 0. */
  readonly step: number;
  /** Tokens cached, the step's own included. */
  readonly position: number;
  readonly isSparse: boolean;
  /** Bytes read over the bytes cached, in the observed layers. */
  readonly attendedFraction: number;
  /** Bytes of the cache and its key bounds that the observed layers read. */
  readonly kvBytes: number;
  readonly layers: readonly LayerRecord[];
  /** Jaccard index of the selections, mean over heads: [layers][layers]; null for a layer without a selection. Absent in dense steps. */
  readonly layerOverlap?: readonly (readonly (number | null)[])[];
  /** Jaccard index with the sampled step before: [layers]. Absent in the first sampled step and in dense steps. */
  readonly stepOverlap?: readonly (number | null)[];
}

/** One layer in one observed step. */
export interface LayerRecord {
  readonly layer: number;
  readonly attends: "all" | "selected";
  readonly selects: boolean;
  readonly kvBytes: number;
  /** Selected tokens of each head group. */
  readonly tokens?: readonly number[];
  /** Dense softmax mass on the selection, by query head. */
  readonly recall?: readonly number[];
  /** Relative L2 error of the attention output, by query head. */
  readonly outputError?: readonly number[];
  /** Jaccard index of the selections of query heads: [heads][heads]. Absent if all heads share one. */
  readonly headOverlap?: readonly (readonly number[])[];
  /** Ranks that the merge of heads visited. */
  readonly mergeDepth?: number;
}

/** Describes a step. before: the sampled step before, of the same request */
export function describeStep(trace: StepTrace, source: TraceSource, before?: StepTrace): TraceRecord {
  const hasSelection = trace.layers.some(({ selection }) => selection);
  return {
    ...source,
    ...{ step: trace.step, position: trace.length, isSparse: trace.isSparse },
    ...{ attendedFraction: round(attendedFraction(trace)), kvBytes: kvBytes(trace) },
    layers: trace.layers.map((layer) => describeLayer(layer, trace.numQueryHeads)),
    ...(hasSelection && { layerOverlap: roundAll(layerOverlap(trace)) }),
    ...(hasSelection && before && { stepOverlap: stepOverlap(trace, before).map(round) }),
  };
}

function describeLayer(layer: StepTrace["layers"][number], numHeads: number): LayerRecord {
  const [mass, error] = [recall(layer), outputError(layer, numHeads)];
  const overlap = headOverlap(layer, numHeads);
  return {
    ...{ layer: layer.layer, ...layer.role, kvBytes: layer.kvBytes },
    ...(layer.selection && { tokens: layer.selection.map(({ length }) => length) }),
    ...(mass && { recall: mass.map(round) }),
    ...(error && { outputError: error.map(round) }),
    ...(overlap && { headOverlap: roundAll(overlap) }),
    ...(layer.mergeDepth !== undefined && { mergeDepth: layer.mergeDepth }),
  };
}

function round<T extends number | null>(value: T): T {
  return (typeof value === "number" ? Number(value.toPrecision(4)) : value) as T;
}

function roundAll<T extends number | null>(rows: readonly (readonly T[])[]): readonly (readonly T[])[] {
  return rows.map((row) => row.map(round));
}
