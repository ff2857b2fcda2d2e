import type { AttentionPolicy } from "../policy.ts";
import { full } from "./full.ts";
import { lessIsMore } from "./less-is-more.ts";
import { oracleTopK } from "./oracle-top-k.ts";
import { quest } from "./quest.ts";
import { randomTokens } from "./random-tokens.ts";
import { streamingLlm } from "./streaming-llm.ts";
import { tidalDecode } from "./tidal-decode.ts";

export { full, lessIsMore, oracleTopK, quest, randomTokens, streamingLlm, tidalDecode };

/** The option of a policy's factory that a key of a spec sets. */
export interface SpecKey {
  readonly option: string;
  readonly kind: "number" | "layers";
}

export interface PolicyRow {
  readonly make: (options: object) => AttentionPolicy;
  readonly keys: Readonly<Record<string, SpecKey>>;
}

const number = (option: string): SpecKey => ({ option, kind: "number" });
const budget = number("tokenBudget");
const layers: SpecKey = { option: "selectionLayers", kind: "layers" };

/** Every policy by name; a new policy is one more row. */
export const POLICIES: Readonly<Record<string, PolicyRow>> = {
  full: { make: full, keys: {} },
  "less-is-more": {
    make: lessIsMore,
    keys: { budget, recency: number("recencyShare"), sinks: number("sinks"), layers },
  },
  "tidal-decode": { make: tidalDecode, keys: { budget, layers } },
  quest: {
    make: quest,
    keys: { budget, page: number("pageSize"), "dense-layers": number("denseLayers") },
  },
  "streaming-llm": { make: streamingLlm, keys: { budget, sinks: number("sinks") } },
  "oracle-top-k": { make: oracleTopK, keys: { budget } },
  "random-tokens": { make: randomTokens, keys: { budget, seed: number("seed") } },
};
