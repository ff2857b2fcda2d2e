/** Each policy by an independent definition: the tokens that every query head of a layer attends to. */
import { hashUnit } from "../../src/base/random.ts";
import { expandSelection, headScores, mergeByRank, pageScore, topK } from "./brute-force.ts";

/** The input of a definition for one sequence in one layer: queries and keys per query head. */
export interface Seen {
  readonly layer: number;
  readonly length: number;
  readonly queries: readonly Float64Array[];
  readonly keys: readonly (readonly Float64Array[])[];
}

/**
 * Positions per query head, the same array where heads share a set; "all" for a dense layer, "last" for a layer that attends
 * to the last selection. scans: what the selection reads of every cached token or page besides.
 */
export type Definition = (seen: Seen) =>
  | "all"
  | "last"
  | {
      readonly attends: "all" | "set";
      readonly sets: number[][];
      readonly scans?: "keys" | "key bounds";
    };

const CURRENT = { sinks: 0, recent: 1 };
const perHead = (sets: (head: number) => number[]) => Array.from({ length: 6 }, (_, h) => sets(h));
const scoresOf = ({ queries, keys }: Seen) => queries.map((query, h) => headScores(query, keys[h]));
const bestAndCurrent = (scores: ArrayLike<number>, budget: number) =>
  expandSelection(topK(scores, CURRENT, budget - 1), 1, scores.length, CURRENT);

function lessIsMore(budget: number, topShare: number, sinks: number, layers: number[]): Definition {
  return (seen) => {
    if (seen.layer < layers[0]) return "all";
    if (!layers.includes(seen.layer)) return "last";
    const share = budget - Math.trunc(budget * topShare);
    const kept = share >= sinks ? sinks : 0;
    const ends = { sinks: kept, recent: Math.max(1, share - kept) };
    const mid = budget - ends.sinks - ends.recent;
    const set = expandSelection(mergeByRank(scoresOf(seen), ends, mid), 1, seen.length, ends);
    return { attends: "all", sets: perHead(() => set) };
  };
}

function tidalDecode(budget: number, layers: number[]): Definition {
  return (seen) => {
    if (seen.layer < layers[0]) return "all";
    if (!layers.includes(seen.layer)) return "last";
    const scores = scoresOf(seen);
    return { attends: "all", sets: perHead((h) => bestAndCurrent(scores[h], budget)) };
  };
}

function quest(budget: number, page: number, denseLayers: number): Definition {
  return (seen) => {
    if (seen.layer < denseLayers) return "all";
    const numPages = Math.ceil(seen.length / page);
    const sets = perHead((h) => {
      const bounds = Array.from({ length: numPages }, (_, p) =>
        pageScore(seen.queries[h], seen.keys[h].slice(p * page, (p + 1) * page)),
      );
      return expandSelection(
        topK(bounds, CURRENT, Math.floor(budget / page) - 1),
        page,
        seen.length,
        CURRENT,
      );
    });
    return { attends: "set", sets, scans: "key bounds" };
  };
}

function streamingLlm(budget: number, sinks: number): Definition {
  return ({ length }) => {
    const all = Array.from({ length }, (_, t) => t);
    const set = all.filter((t) => t < sinks || t >= length - (budget - sinks));
    return { attends: "set", sets: perHead(() => set) };
  };
}

function oracleTopK(budget: number): Definition {
  return (seen) => {
    const scores = scoresOf(seen);
    return { attends: "set", sets: perHead((h) => bestAndCurrent(scores[h], budget)), scans: "keys" };
  };
}

export function randomTokens(budget: number, seed: number): Definition {
  return ({ layer, length }) => {
    const scores = Array.from({ length }, (_, t) => hashUnit(seed, layer, length, t));
    const set = bestAndCurrent(scores, budget);
    return { attends: "set", sets: perHead(() => set) };
  };
}

/** A spec, and what it means. */
export interface PolicyRow {
  readonly spec: string;
  readonly definition: Definition;
}

export const POLICIES: readonly PolicyRow[] = [
  { spec: "full", definition: () => "all" },
  { spec: "less-is-more:budget=24,layers=1+3", definition: lessIsMore(24, 0.75, 4, [1, 3]) },
  { spec: "less-is-more:budget=24", definition: lessIsMore(24, 0.75, 4, [1, 3]) },
  { spec: "less-is-more:budget=24,layers=0", definition: lessIsMore(24, 0.75, 4, [0]) },
  // a recency window of 3 drops the 4 sinks; one of 4 takes the current token from the ranked part
  { spec: "less-is-more:budget=12,layers=2", definition: lessIsMore(12, 0.75, 4, [2]) },
  { spec: "less-is-more:budget=16,layers=1+4", definition: lessIsMore(16, 0.75, 4, [1, 4]) },
  { spec: "less-is-more:budget=20,recency=0,layers=0+2", definition: lessIsMore(20, 1, 4, [0, 2]) },
  { spec: "less-is-more:budget=20,recency=0.5,sinks=0,layers=2", definition: lessIsMore(20, 0.5, 0, [2]) },
  { spec: "less-is-more:budget=1,sinks=0,layers=1", definition: lessIsMore(1, 0.75, 0, [1]) },
  { spec: "tidal-decode:budget=24,layers=1+3", definition: tidalDecode(24, [1, 3]) },
  { spec: "tidal-decode:budget=2,layers=2", definition: tidalDecode(2, [2]) },
  { spec: "quest:budget=24,page=8", definition: quest(24, 8, 2) },
  { spec: "quest:budget=30,page=8,dense-layers=1", definition: quest(30, 8, 1) },
  { spec: "quest:budget=48,page=16,dense-layers=0", definition: quest(48, 16, 0) },
  { spec: "quest:budget=8,page=8,dense-layers=0", definition: quest(8, 8, 0) },
  { spec: "streaming-llm:budget=24", definition: streamingLlm(24, 4) },
  { spec: "streaming-llm:budget=9,sinks=0", definition: streamingLlm(9, 0) },
  { spec: "oracle-top-k:budget=24", definition: oracleTopK(24) },
  { spec: "random-tokens:budget=24,seed=5", definition: randomTokens(24, 5) },
  { spec: "random-tokens:budget=17", definition: randomTokens(17, 1) },
];

/**
 * Policies on a model with windows in layers 0, 2 and 4, where the driver attends densely: definitions are asked about layers
 * 1 and 3 alone.
 */
export const POLICIES_WITH_WINDOWS: readonly PolicyRow[] = [
  { spec: "full", definition: () => "all" },
  { spec: "less-is-more:budget=24,layers=1", definition: lessIsMore(24, 0.75, 4, [1]) },
  { spec: "less-is-more:budget=24", definition: lessIsMore(24, 0.75, 4, [1, 3]) },
  { spec: "tidal-decode:budget=24,layers=1", definition: tidalDecode(24, [1]) },
  { spec: "quest:budget=24,page=8", definition: quest(24, 8, 2) },
  { spec: "quest:budget=24,page=8,dense-layers=0", definition: quest(24, 8, 0) },
  { spec: "streaming-llm:budget=24", definition: streamingLlm(24, 4) },
  { spec: "oracle-top-k:budget=24", definition: oracleTopK(24) },
  { spec: "random-tokens:budget=24,seed=5", definition: randomTokens(24, 5) },
];
