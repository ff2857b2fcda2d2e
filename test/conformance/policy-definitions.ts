/** Each policy by an independent definition: the tokens that every query head of a layer attends to. */

import { type AttentionPolicy, REUSES, SELECTS_FOR_ITSELF } from "../../src/attention/policy.ts";
import { hashUnit } from "../../src/base/random.ts";
import { expandSelection, headScores, mergeByRank, pageScore, poolScores, topK } from "./brute-force.ts";
import { seerAttentionR } from "./gated-definition.ts";

/** The input of a definition for one sequence in one layer: queries and keys per query head. */
export interface Seen {
  readonly layer: number;
  readonly length: number;
  readonly queries: readonly Float64Array[];
  readonly keys: readonly (readonly Float64Array[])[];
  /** Before RoPE: queries per query head, keys per kv head. */
  readonly raw: {
    readonly queries: readonly Float64Array[];
    readonly keys: readonly (readonly Float64Array[])[];
  };
}

/**
 * Positions per query head, the same array where heads share a set; "all" for a dense layer, "last" for a layer that attends
 * to the last selection. scans: what the selection reads of every cached token or page besides.
 */
export type Definition = (seen: Seen) =>
  | "all"
  | "last"
  | { readonly attends: "last" /** The kv head whose set each attends to. */; readonly map: number[] }
  | {
      readonly attends: "all" | "set";
      readonly sets: number[][];
      readonly scans?: "keys" | "key bounds" | { readonly blockKeys: number; readonly gateDim: number };
      /** Tokens of a set whose keys the selection reads besides. */
      readonly candidates?: number;
      /** Tokens that count as read of each set, if the host does not know their number. */
      readonly counted?: number;
    };

const CURRENT = { sinks: 0, recent: 1 };
const NO_ENDS = { sinks: 0, recent: 0 };
/** Heads of a kv head. */
const ofKv = <T>(heads: readonly T[], kv: number) => heads.slice(3 * kv, 3 * kv + 3);
const perHead = (sets: (head: number) => number[]) => Array.from({ length: 6 }, (_, h) => sets(h));
const scoresOf = ({ queries, keys }: Seen) => queries.map((query, h) => headScores(query, keys[h]));
const bestAndCurrent = (scores: ArrayLike<number>, budget: number) =>
  expandSelection(topK(scores, CURRENT, budget - 1), 1, scores.length, CURRENT);

type SetsOf = "all" | "kv" | "head";

function lessIsMore(
  budget: number,
  topShare: number,
  sinks: number,
  layers: number[],
  setsOf: SetsOf = "all",
): Definition {
  return (seen) => {
    if (seen.layer < layers[0]) return "all";
    if (!layers.includes(seen.layer)) return "last";
    const share = budget - Math.trunc(budget * topShare);
    const kept = share >= sinks ? sinks : 0;
    const ends = { sinks: kept, recent: Math.max(1, share - kept) };
    const mid = budget - ends.sinks - ends.recent;
    const scores = scoresOf(seen);
    const expanded = (ranked: number[]) => expandSelection(ranked, 1, seen.length, ends);
    if (setsOf === "head")
      return { attends: "all", sets: perHead((h) => expanded(topK(scores[h], ends, mid))) };
    const groups = setsOf === "all" ? [scores] : [ofKv(scores, 0), ofKv(scores, 1)];
    const sets = groups.map((group) =>
      expanded(
        setsOf === "all" ? mergeByRank(group, ends, mid) : topK(poolScores(group, "softmax-mean"), ends, mid),
      ),
    );
    return { attends: "all", sets: perHead((h) => sets[Math.floor((h * sets.length) / 6)]) };
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

function kascade(budget: number, anchors: number[], maps: Record<number, number[]> = {}): Definition {
  return (seen) => {
    if (seen.layer < anchors[0]) return "all";
    if (!anchors.includes(seen.layer))
      return seen.layer in maps ? { attends: "last", map: maps[seen.layer] } : "last";
    const scores = scoresOf(seen);
    const sets = [0, 1].map((kv) =>
      topK(poolScores(ofKv(scores, kv), "softmax-mean"), NO_ENDS, budget).sort((a, b) => a - b),
    );
    const chosen = perHead((h) => sets[Math.floor(h / 3)]);
    if (seen.layer === anchors[0]) return { attends: "all", sets: chosen };
    return { attends: "set", sets: chosen, scans: "keys" };
  };
}

export function randomTokens(budget: number, seed: number): Definition {
  return ({ layer, length }) => {
    const scores = Array.from({ length }, (_, t) => hashUnit(seed, layer, length, t));
    const set = bestAndCurrent(scores, budget);
    return { attends: "set", sets: perHead(() => set) };
  };
}

/** Selects for itself in every layer, in two passes, one set per kv head, with another budget in each layer. */
const TWO_PASSES: AttentionPolicy = {
  name: "two-passes",
  settings: {},
  tokenBudget: 40,
  pageBounds: 8,
  layerRole: () => SELECTS_FOR_ITSELF,
  select(selector) {
    const bounds = selector.poolScores(selector.pageScores(8), { how: "max", heads: "kv" });
    const candidates = selector.expandSelection(selector.topK(bounds, 4, CURRENT), CURRENT);
    const scores = selector.poolScores(selector.scoresOf(candidates), { how: "softmax-mean", heads: "kv" });
    return selector.expandSelection(
      selector.topK(scores, twoPassesBudget(selector.layer) - 1, CURRENT),
      CURRENT,
    );
  },
};
const twoPassesBudget = (layer: number) => 16 + 3 * layer;

/** Pages by their bounds, one set per kv head. */
const PAGES_OF_KV_HEADS: AttentionPolicy = {
  name: "pages-of-kv-heads",
  settings: {},
  tokenBudget: 24,
  pageBounds: 8,
  layerRole: (layer) => (layer % 2 === 0 ? SELECTS_FOR_ITSELF : REUSES),
  select(selector) {
    const bounds = selector.poolScores(selector.pageScores(8), { how: "max", heads: "kv" });
    return selector.expandSelection(selector.topK(bounds, 2, CURRENT), CURRENT);
  },
};

const pagesOfKvHeads: Definition = (seen) => {
  if (seen.layer % 2 === 1) return "last";
  const sets = [0, 1].map((kv) => bestPages(seen, kv, 2));
  return { attends: "set", sets: perHead((h) => sets[Math.floor(h / 3)]), scans: "key bounds" };
};

/** Tokens of the best `count` pages of a kv head by the largest bound of its heads, and of the current page. */
function bestPages({ queries, keys, length }: Seen, kv: number, count: number): number[] {
  const bounds = ofKv(queries, kv).map((query, i) =>
    Array.from({ length: Math.ceil(length / 8) }, (_, p) =>
      pageScore(query, keys[3 * kv + i].slice(8 * p, 8 * p + 8)),
    ),
  );
  return expandSelection(topK(poolScores(bounds, "max"), CURRENT, count), 8, length, CURRENT);
}

/** Keys as their 4-bit sketches give them back. */
function sketched(key: readonly number[]): number[] {
  const scale = Math.fround(Math.max(...key.map(Math.abs)) / 7);
  return key.map((k) => scale * nearest(Math.fround(k / scale)));
}

function nearest(x: number): number {
  const [down, up] = [Math.floor(x), Math.ceil(x)];
  if (x - down === up - x) return down % 2 === 0 ? down : up;
  return x - down < up - x ? down : up;
}

/** ranked: tokens apart from 4 sinks and `recent` recent ones. */
function keySketch(ranked: number, recent: number, denseLayers: number): Definition {
  const ends = { sinks: 4, recent };
  return ({ layer, length, queries, keys }) => {
    if (layer < denseLayers) return "all";
    const scores = queries.map((query, h) =>
      headScores(
        query,
        keys[h].map((key) => sketched(Array.from(key))),
      ),
    );
    const sets = [0, 1].map((kv) =>
      expandSelection(topK(poolScores(ofKv(scores, kv), "max"), ends, ranked), 1, length, ends),
    );
    return {
      attends: "set",
      sets: perHead((h) => sets[Math.floor(h / 3)]),
      scans: { blockKeys: length, gateDim: 5 },
    };
  };
}

const twoPasses: Definition = (seen) => {
  const { layer } = seen;
  const scores = scoresOf(seen);
  let candidates = 0;
  const sets = [0, 1].map((kv) => {
    const near = bestPages(seen, kv, 4);
    candidates = near.length;
    const masked = ofKv(scores, kv).map((row) =>
      row.map((score, t) => (near.includes(t) ? score : Number.NEGATIVE_INFINITY)),
    );
    return bestAndCurrent(poolScores(masked, "softmax-mean"), twoPassesBudget(layer));
  });
  return { attends: "set", sets: perHead((h) => sets[Math.floor(h / 3)]), scans: "key bounds", candidates };
};

/** With a budget of at least `share` of the length: the next number whose binary digits past the first five are 0. */
function growing(budget: number, share: number, of: (budget: number) => Definition): Definition {
  return (seen) => {
    let grown = Math.ceil(share * seen.length);
    while (!/^.{1,5}0*$/.test(grown.toString(2))) grown++;
    return of(Math.max(budget, grown))(seen);
  };
}

/** A spec, or a policy of the tests with its name, and what it means. */
export interface PolicyRow {
  readonly spec: string;
  readonly policy?: AttentionPolicy;
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
  { spec: "seer-attention-r:gate=gate-8,budget=24", definition: seerAttentionR("gate-8", { budget: 24 }) },
  { spec: "seer-attention-r:gate=gate-16,budget=16", definition: seerAttentionR("gate-16", { budget: 16 }) },
  {
    spec: "seer-attention-r:gate=gate-8,budget=31,dense-layers=3",
    definition: seerAttentionR("gate-8", { budget: 31 }, 3),
  },
  { spec: "streaming-llm:budget=24", definition: streamingLlm(24, 4) },
  { spec: "streaming-llm:budget=9,sinks=0", definition: streamingLlm(9, 0) },
  { spec: "oracle-top-k:budget=24", definition: oracleTopK(24) },
  { spec: "random-tokens:budget=24,seed=5", definition: randomTokens(24, 5) },
  { spec: "random-tokens:budget=17", definition: randomTokens(17, 1) },
  { spec: "kascade:budget=24,anchors=0+2", definition: kascade(24, [0, 2]) },
  {
    spec: "kascade:budget=24,anchors=0+2,maps=1:1-0+3:0-0+4:0-0",
    definition: kascade(24, [0, 2], { 1: [1, 0], 3: [0, 0], 4: [0, 0] }),
  },
  { spec: "kascade:budget=24", definition: kascade(24, [0, 1, 3]) },
  {
    spec: "kascade:budget=7,anchors=1,maps=2:1-0+3:1-1",
    definition: kascade(7, [1], { 2: [1, 0], 3: [1, 1] }),
  },
  { spec: "pages-of-kv-heads", policy: PAGES_OF_KV_HEADS, definition: pagesOfKvHeads },
  { spec: "key-sketch:budget=24", definition: keySketch(18, 2, 1) },
  { spec: "key-sketch:budget=32,recency=0.5,dense-layers=0", definition: keySketch(16, 12, 0) },
  { spec: "two-passes", policy: TWO_PASSES, definition: twoPasses },
  {
    spec: "less-is-more:budget=24,layers=1+3,sets=kv",
    definition: lessIsMore(24, 0.75, 4, [1, 3], "kv"),
  },
  {
    spec: "less-is-more:budget=24,layers=1+3,sets=head",
    definition: lessIsMore(24, 0.75, 4, [1, 3], "head"),
  },
  {
    spec: "less-is-more:budget=20,recency=0,layers=0+2,sets=kv",
    definition: lessIsMore(20, 1, 4, [0, 2], "kv"),
  },
  {
    spec: "less-is-more:budget=1,sinks=0,layers=1,sets=head",
    definition: lessIsMore(1, 0.75, 0, [1], "head"),
  },
  {
    spec: "seer-attention-r:gate=gate-8,threshold=0.15",
    definition: seerAttentionR("gate-8", { threshold: 0.15 }),
  },
  {
    spec: "seer-attention-r:gate=gate-16,threshold=0.9",
    definition: seerAttentionR("gate-16", { threshold: 0.9 }),
  },
  {
    spec: "less-is-more:budget=24,share=0.5,layers=1+3",
    definition: growing(24, 0.5, (budget) => lessIsMore(budget, 0.75, 4, [1, 3])),
  },
  {
    spec: "tidal-decode:budget=4,share=0.6,layers=2",
    definition: growing(4, 0.6, (budget) => tidalDecode(budget, [2])),
  },
  {
    spec: "quest:budget=24,share=0.5,page=8",
    definition: growing(24, 0.5, (budget) => quest(budget, 8, 2)),
  },
  {
    spec: "streaming-llm:budget=16,share=0.3",
    definition: growing(16, 0.3, (budget) => streamingLlm(budget, 4)),
  },
  { spec: "oracle-top-k:budget=24,share=0.5", definition: growing(24, 0.5, oracleTopK) },
  {
    spec: "random-tokens:budget=24,share=0.5,seed=5",
    definition: growing(24, 0.5, (budget) => randomTokens(budget, 5)),
  },
  {
    spec: "kascade:budget=16,share=0.4,anchors=0+2,maps=1:1-0+3:0-0",
    definition: growing(16, 0.4, (budget) => kascade(budget, [0, 2], { 1: [1, 0], 3: [0, 0] })),
  },
  {
    spec: "key-sketch:budget=24,share=0.7",
    definition: growing(24, 0.7, (budget) => {
      const recent = budget - Math.trunc(budget * 0.75) - 4;
      return keySketch(budget - recent - 4, recent, 1);
    }),
  },
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
  { spec: "seer-attention-r:gate=gate-8,budget=24", definition: seerAttentionR("gate-8", { budget: 24 }) },
  { spec: "streaming-llm:budget=24", definition: streamingLlm(24, 4) },
  { spec: "oracle-top-k:budget=24", definition: oracleTopK(24) },
  { spec: "random-tokens:budget=24,seed=5", definition: randomTokens(24, 5) },
  { spec: "kascade:budget=24", definition: kascade(24, [1, 3]) },
];
