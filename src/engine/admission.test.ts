import { expect, test } from "vitest";
import type { Capacity } from "../backend/backend.ts";
import { Admission } from "./admission.ts";
import { type ResolvedRequest, RunningGeneration } from "./generation.ts";
import { OutputStream } from "./output-stream.ts";

const CAPACITY = { maxPages: 8, pageSize: 4, maxBatchSequences: 1 } as Capacity;
const tokenizer = {
  encode: () => [],
  decode: () => "",
  decodeStream: () => ({ push: () => "", end: () => "" }),
  minTokens: () => 0,
  tokenId: () => undefined,
  token: () => undefined,
};
const EOS = 7;
const start = { kind: "answer", isAfterMarker: false } as const;
const PLAN: ResolvedRequest = {
  prompt: [1, 2],
  maxTokens: 3,
  policy: {
    name: "full",
    settings: {},
    tokenBudget: 9,
    layerRole: () => ({ attends: "all", selects: false }),
  },
  policyKey: "full",
  sampling: { temperature: 0, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1, seed: 1 },
  eosTokenIds: [EOS],
  stops: [],
  start,
  signal: undefined,
  notes: [],
};

function request(name: string): RunningGeneration {
  const output = new OutputStream(tokenizer, start, []);
  return new RunningGeneration(name, PLAN, output, { wake: () => {}, whyWaiting: () => "" });
}

async function finish(generation: RunningGeneration): Promise<readonly string[]> {
  generation.accept(EOS, 0);
  return (await generation.result()).notes;
}

test("a request that waited long says who had its place; after a short wait it says nothing", async () => {
  let now = 0;
  const admission = new Admission(
    CAPACITY,
    () => {},
    () => now,
  );
  const [first, second, third] = [request("request 1"), request("request 2"), request("request 3")];
  for (const one of [first, second, third]) admission.queue(one);
  admission.admit();
  expect(admission.running).toEqual([first]);
  now = 9_000;
  expect(await finish(first)).toEqual([]);
  admission.admit();
  expect(admission.running).toEqual([second]);
  now = 21_000;
  expect(await finish(second)).toEqual([]);
  admission.admit();
  expect(await finish(third)).toEqual([
    "waited 21 s for a place: 1 of 1 requests run, 7 of 8 pages of 4 tokens are free; pages are held by request 2 (1)",
  ]);
});

test("logits that hold pages are named, too", async () => {
  const admission = new Admission(CAPACITY, () => {});
  const logits = admission.reserve(32);
  admission.queue(request("request 1"));
  admission.admit();
  expect(await logits.pages).toHaveLength(8);
  expect(admission.running).toEqual([]);
  expect(admission.whyWaiting()).toContain(
    "0 of 8 pages of 4 tokens are free; pages are held by logits 1 (8)",
  );
  logits.release();
  admission.admit();
  expect(admission.running).toHaveLength(1);
});
