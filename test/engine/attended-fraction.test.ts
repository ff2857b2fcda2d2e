/** The attended fraction of a result, against sums by hand. */
import { expect, test } from "vitest";
import { createReferenceBackend } from "../../src/backend/reference/reference-backend.ts";
import { openTiny } from "./tiny-engine.ts";
import { GATE_BLOCK, GATE_DIM } from "./tiny-gate.ts";

const PROMPT = 20;
const TOKENS = 9;
/** Cached lengths of the decode steps. Prefill samples the first token, and the last token is never cached. */
const LENGTHS = Array.from({ length: TOKENS - 1 }, (_, i) => PROMPT + 1 + i);

const sum = (values: readonly number[]) => values.reduce((a, b) => a + b, 0);

/** Two layers, as many kv heads as query heads, pages of 4 tokens; the unit is a token's keys and values. */
const READS: readonly (readonly [spec: string, rows: (length: number) => number])[] = [
  ["full", (length) => 2 * length],
  ["oracle-top-k:budget=8", (length) => 2 * (length / 2 + 8)],
  [
    "quest:budget=8,page=4,dense-layers=1",
    // the dense layer; the key bounds of every page; one page by rank, and the tokens of the current page
    (length) => length + Math.ceil(length / 4) + 4 + (((length - 1) % 4) + 1),
  ],
  ["less-is-more:budget=8,layers=0", (length) => length + 8],
  [
    "seer-attention-r:budget=8",
    // the keys of whole blocks; the first and a chosen block, which may be the same, and the tokens of the last
    (length) =>
      2 *
      ((Math.floor(length / GATE_BLOCK) * GATE_DIM) / (2 * 24) +
        2 * GATE_BLOCK +
        ((length - 1) % GATE_BLOCK) +
        1),
  ],
  ["streaming-llm:budget=8", () => 2 * 8],
  ["random-tokens:budget=8", () => 2 * 8],
];

test.each(
  READS.flatMap(([spec, rows]) => [true, false].map((runsAhead) => ({ spec, rows, runsAhead }))),
)("$spec, running ahead $runsAhead: the fraction counts every byte that selection reads", async ({
  spec,
  rows,
  runsAhead,
}) => {
  const engine = await openTiny(createReferenceBackend, { runsAhead });
  const tokenIds = Array.from({ length: PROMPT }, (_, i) => 3 + ((i * 53) % 300));
  const { attention } = await engine
    .generate({ tokenIds, attention: spec, maxTokens: TOKENS, ignoreEos: true, temperature: 0 })
    .result();
  expect(attention.attendedFraction).toBeCloseTo(sum(LENGTHS.map(rows)) / (2 * sum(LENGTHS)), 12);
  await engine.close();
});
