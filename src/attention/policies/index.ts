import type { AttentionPolicy } from "../policy.ts";
import { full } from "./full.ts";
import { kascade } from "./kascade.ts";
import { keySketch } from "./key-sketch.ts";
import { lessIsMore } from "./less-is-more.ts";
import { oracleTopK } from "./oracle-top-k.ts";
import { quest } from "./quest.ts";
import { randomTokens } from "./random-tokens.ts";
import { seerAttentionR } from "./seer-attention-r.ts";
import { streamingLlm } from "./streaming-llm.ts";
import { tidalDecode } from "./tidal-decode.ts";

export {
  full,
  kascade,
  keySketch,
  lessIsMore,
  oracleTopK,
  quest,
  randomTokens,
  seerAttentionR,
  streamingLlm,
  tidalDecode,
};

/** The option of a policy's factory that a key of a spec sets. */
export interface SpecKey {
  readonly option: string;
  /** maps: `LAYER:HEAD-HEAD-…`, joined by +. */
  readonly kind: "number" | "layers" | "maps" | "text";
}

export interface PolicyRow {
  readonly make: (options: object) => AttentionPolicy;
  readonly keys: Readonly<Record<string, SpecKey>>;
  /** Options that fit the selection layers beside them alone: a spec that names other layers does without a checkpoint's. */
  readonly ofLayers?: readonly string[];
}

const number = (option: string): SpecKey => ({ option, kind: "number" });
const text = (option: string): SpecKey => ({ option, kind: "text" });
const budget = { budget: number("tokenBudget"), share: number("budgetShare") };
const layers: SpecKey = { option: "selectionLayers", kind: "layers" };

/** Every policy by name; a new policy is one more row. */
export const POLICIES: Readonly<Record<string, PolicyRow>> = {
  full: { make: full, keys: {} },
  "less-is-more": {
    make: lessIsMore,
    keys: { ...budget, recency: number("recencyShare"), sinks: number("sinks"), layers, sets: text("sets") },
  },
  "tidal-decode": { make: tidalDecode, keys: { ...budget, layers } },
  quest: {
    make: quest,
    keys: { ...budget, page: number("pageSize"), "dense-layers": number("denseLayers") },
  },
  "seer-attention-r": {
    make: seerAttentionR,
    keys: {
      gate: text("gate"),
      budget: budget.budget,
      threshold: number("threshold"),
      "dense-layers": number("denseLayers"),
    },
  },
  "streaming-llm": { make: streamingLlm, keys: { ...budget, sinks: number("sinks") } },
  "key-sketch": {
    make: keySketch,
    keys: {
      ...budget,
      recency: number("recencyShare"),
      sinks: number("sinks"),
      "dense-layers": number("denseLayers"),
    },
  },
  kascade: {
    make: kascade,
    keys: { ...budget, anchors: layers, maps: { option: "headMaps", kind: "maps" } },
    ofLayers: ["headMaps"],
  },
  "oracle-top-k": { make: oracleTopK, keys: { ...budget } },
  "random-tokens": { make: randomTokens, keys: { ...budget, seed: number("seed") } },
};
