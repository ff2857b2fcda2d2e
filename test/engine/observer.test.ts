/** Observers of decode steps, on every backend, against brute force; they change no token and fail alone. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { AttentionObserver, LayerTrace, StepTrace } from "../../src/attention/observer.ts";
import { parseAttention } from "../../src/attention/spec.ts";
import { RequestError } from "../../src/base/errors.ts";
import type { GenerationEngine } from "../../src/engine/engine.ts";
import { BACKENDS, webGpuWithLayerKernel } from "../conformance/backend-table.ts";
import { topK } from "../conformance/brute-force.ts";
import { POLICIES } from "../conformance/policy-definitions.ts";
import { loadPlainWeights, type PlainLayer, plainLogProbs } from "./plain-model.ts";
import { openTiny } from "./tiny-engine.ts";

const TOKENS = Array.from({ length: 44 }, (_, i) => 3 + ((i * 53) % 300));
const FROM = 37;
const WANTS = ["selection", "weights", "output"] as const;
const MERGED = "less-is-more:budget=24,layers=0";
const SPECS = ["full", MERGED, "quest:budget=30,page=8,dense-layers=1", "oracle-top-k:budget=24"];
const ROWS = POLICIES.filter(({ spec }) => SPECS.includes(spec));
/** Ranked tokens of `MERGED`, and what it always keeps. */
const RANKED = { count: 18, ends: { sinks: 4, recent: 2 } };

const weights = await loadPlainWeights();
const BOUNDS = { f32: 1e-5, f16: 2e-3, q8: 0.1 } as const;

/** An observer that keeps what it sees. */
function watching(
  options: Partial<AttentionObserver> = {},
): AttentionObserver & { readonly seen: StepTrace[] } {
  const seen: StepTrace[] = [];
  return { wants: WANTS, onStep: (trace) => seen.push(trace), ...options, seen };
}

function softmax(logits: readonly number[]): number[] {
  const largest = Math.max(...logits);
  const mass = logits.reduce((sum, x) => sum + Math.exp(x - largest), 0);
  return logits.map((x) => Math.exp(x - largest) / mass);
}

/** Ranks that give as many distinct tokens as the merge keeps. */
function depthOf(logits: readonly (readonly number[])[]): number {
  const { count, ends } = RANKED;
  const union = new Set<number>();
  for (let depth = 1; ; depth++) {
    for (const head of logits) for (const t of topK(head, ends, depth)) union.add(t);
    if (union.size >= count) return depth;
  }
}

/** By position of a set: the head whose ranking names it first, rank by rank; -1 for what is always kept. */
function headsOf(logits: readonly (readonly number[])[], set: readonly number[]): number[] {
  const { count, ends } = RANKED;
  const ranked = logits.map((head) => topK(head, ends, count));
  const stream = Array.from({ length: count }, (_, rank) =>
    ranked.map((tokens, head) => [tokens[rank] as number, head] as const),
  ).flat();
  const headOf = new Map<number, number>();
  for (const [token, head] of stream) if (headOf.size < count && !headOf.has(token)) headOf.set(token, head);
  return set.map((token) => headOf.get(token) ?? -1);
}

function expectClose(
  actual: ArrayLike<number> | undefined,
  expected: readonly number[],
  bound: number,
): void {
  expect(actual?.length).toBe(expected.length);
  const errors = expected.map((value, i) => Math.abs((actual?.[i] ?? Number.NaN) - value));
  expect(Math.max(...errors)).toBeLessThan(bound);
}

describe.each(BACKENDS)("$name", ({ open, cases, cacheDtype = "f32" }) => {
  const isSlow = cases !== undefined && cacheDtype !== "f32";
  const rows = isSlow ? ROWS.slice(1, 3) : ROWS;
  const bound = BOUNDS[cacheDtype];
  let engine: GenerationEngine;
  beforeAll(async () => {
    engine = await openTiny(open);
  });
  afterAll(() => engine.close());

  function expectLayer(actual: LayerTrace, expected: PlainLayer, spec: string): void {
    const { sets, logits, output, denseOutput, layer } = expected;
    expect(actual.layer).toBe(layer);
    const groups = actual.selection?.length ?? 0;
    expect(groups > 0).toBe(sets !== undefined);
    for (const [h, set] of (sets ?? []).entries())
      expect([...(actual.selection?.[Math.floor((h * groups) / 4)] ?? [])]).toEqual(set);
    for (const [h, row] of logits.entries()) expectClose(actual.weights?.[h], softmax(row), bound);
    const isSparse = actual.role.attends === "selected";
    expect([actual.output !== undefined, actual.denseOutput !== undefined]).toEqual([isSparse, isSparse]);
    if (isSparse) expectClose(actual.output, output, bound);
    if (isSparse) expectClose(actual.denseOutput, denseOutput, bound);
    const selects = actual.role.selects && spec === MERGED;
    expect(actual.mergeDepth).toBe(selects ? depthOf(logits) : undefined);
    const heads = selects ? headsOf(logits, sets?.[0] ?? []) : undefined;
    expect(actual.mergeHeads && [...actual.mergeHeads]).toEqual(heads);
    expect(actual.ends !== undefined).toBe(groups > 0);
    if (spec === MERGED) expect(actual.ends).toEqual(RANKED.ends);
  }

  test.each(rows)(`of score under $spec see sets exactly, weights and outputs within ${bound}`, async ({
    spec,
    definition,
  }) => {
    const layers: PlainLayer[] = [];
    const { tokenBudget: budget } = parseAttention(spec);
    const call = { tokens: TOKENS, from: FROM };
    plainLogProbs(weights, call, { definition, budget }, cacheDtype, (layer) => layers.push(layer));
    const observer = watching();
    const alone = await engine.score({ tokenIds: TOKENS, from: FROM, attention: spec });
    const observed = await engine.score({ tokenIds: TOKENS, from: FROM, attention: spec, observer });
    expect(observed.logProbs).toEqual(alone.logProbs);
    expect(observer.seen.map(({ step, length }) => [step, length])).toEqual(
      [0, 1, 2, 3, 4, 5].map((step) => [step, FROM + 1 + step]),
    );
    let [read, cached] = [0, 0];
    for (const [i, trace] of observer.seen.entries()) {
      expect(trace.isSparse).toBe(spec !== "full");
      expect(trace.layers).toHaveLength(2);
      for (const [l, layer] of trace.layers.entries())
        expectLayer(layer, layers[2 * i + l] as PlainLayer, spec);
      cached += trace.layerBytes * trace.layers.length;
      read += trace.layers.reduce((sum, { kvBytes }) => sum + kvBytes, 0);
    }
    expect(read / cached).toBeCloseTo(observed.attendedFraction, 12);
  });

  test("of requests change no token; each sees its own sequence, as in a batch of one", async () => {
    const prompts = [TOKENS.slice(0, 30), TOKENS.slice(3, 40), TOKENS.slice(1, 20)];
    const attention = MERGED;
    const base = { maxTokens: 8, temperature: 0, ignoreEos: true, attention };
    const run = async (tokenIds: readonly number[], observer?: AttentionObserver) => {
      const result = await engine.generate({ ...base, tokenIds, ...(observer && { observer }) }).result();
      return [result.tokenIds, result.attention.attendedFraction];
    };
    const plain: unknown[] = [];
    const alone: StepTrace[][] = [];
    for (const prompt of prompts) {
      plain.push(await run(prompt));
      const observer = watching({ wants: ["selection"] });
      expect(await run(prompt, observer)).toEqual(plain.at(-1));
      alone.push(observer.seen);
    }
    const observers = prompts.map(() => watching({ wants: ["selection"] }));
    const together = await Promise.all(
      prompts.map((prompt, i) => run(prompt, i === 2 ? undefined : observers[i])),
    );
    expect(together).toEqual(plain);
    for (const i of [0, 1]) expect(observers[i]?.seen).toEqual(alone[i]);
    expect(alone[0]?.map(({ step, length, isSparse }) => [step, length, isSparse])).toEqual(
      [0, 1, 2, 3, 4, 5, 6].map((step) => [step, 31 + step, true]),
    );
    expect(alone[2]?.[0]).toMatchObject({
      isSparse: false,
      layers: [{ role: { attends: "all", selects: false } }, {}],
    });
    expect(alone[2]?.[0]?.layers[0]).not.toHaveProperty("selection");
  });
});

// there the combine of attention is pending while observers read
describe.each((await webGpuWithLayerKernel()).slice(0, 1))("$name", ({ open, cacheDtype = "f32" }) => {
  test("of score change no bit of a probability, and see the outputs of its attention", async () => {
    const engine = await openTiny(open);
    const call = { tokenIds: TOKENS, from: FROM, attention: MERGED };
    const layers: PlainLayer[] = [];
    const { definition } = ROWS.find(({ spec }) => spec === MERGED) as (typeof ROWS)[number];
    plainLogProbs(weights, { tokens: TOKENS, from: FROM }, { definition, budget: 24 }, cacheDtype, (layer) =>
      layers.push(layer),
    );
    const observer = watching();
    const { logProbs } = await engine.score({ ...call, observer });
    expect(logProbs).toEqual((await engine.score(call)).logProbs);
    for (const [i, trace] of observer.seen.entries())
      expectClose(trace.layers[1]?.output, layers[2 * i + 1]?.output ?? [], BOUNDS[cacheDtype]);
    await engine.close();
  });
});

describe("an observer", () => {
  const [row] = BACKENDS;
  const opened: GenerationEngine[] = [];
  afterEach(async () => {
    for (const engine of opened.splice(0)) await engine.close();
  });
  async function openEngine(options = {}): Promise<GenerationEngine> {
    if (!row) throw new Error("there is no backend");
    const engine = await openTiny(row.open, options);
    opened.push(engine);
    return engine;
  }
  const base = { tokenIds: TOKENS.slice(0, 30), maxTokens: 12, temperature: 0, attention: MERGED };

  test("sees every n-th step and the layers that it names, with the selection of a layer that it does not name", async () => {
    const engine = await openEngine();
    const all = watching({ wants: ["selection"] });
    const some = watching({ wants: ["selection"], every: 4, layers: [1] });
    for (const observer of [all, some]) await engine.generate({ ...base, observer }).result();
    expect(some.seen.map(({ step }) => step)).toEqual([0, 4, 8]);
    for (const trace of some.seen) expect(trace.layers).toEqual([all.seen[trace.step]?.layers[1]]);
    expect(some.seen[0]?.layers[0]?.selection).toHaveLength(1);
    const [first, second] = all.seen[0]?.layers ?? [];
    expect(first?.selection).toBe(second?.selection);
    expect([first?.ends, second?.ends]).toEqual([RANKED.ends, RANKED.ends]);
    expect(new Set(first?.mergeHeads).size).toBeGreaterThan(2); // always kept, and of several heads
    expect(second).not.toHaveProperty("mergeHeads");
    const nothing = watching({ wants: [] });
    await engine.generate({ ...base, observer: nothing }).result();
    expect(Object.keys(nothing.seen[0]?.layers[1] ?? {})).toEqual(["layer", "role", "kvBytes"]);
  });

  test.each([
    false,
    true,
  ])("sees each step once, though its request is preempted and replayed; runs ahead: %s", async (runsAhead) => {
    const engine = await openEngine({ runsAhead, sizes: { maxPages: 14 } });
    const observers = [0, 1, 2].map(() => watching({ wants: ["selection"] }));
    const short = { tokenIds: TOKENS.slice(0, 10), maxTokens: 30, ignoreEos: true };
    const results = await Promise.all(
      observers.map((observer) => engine.generate({ ...base, ...short, observer }).result()),
    );
    expect(results.flatMap(({ notes }) => notes).join()).toContain("was replayed");
    for (const { seen } of observers) {
      expect(seen.map(({ step }) => step)).toEqual(Array.from({ length: 29 }, (_, i) => i));
      expect(seen).toEqual(observers[0]?.seen);
    }
  });

  test("that throws fails its own request or call", async () => {
    const engine = await openEngine();
    const observer = watching({
      onStep: ({ step }) => {
        if (step === 2) throw new Error("no third step");
      },
    });
    const [bad, good, call] = await Promise.allSettled([
      engine.generate({ ...base, observer }).result(),
      engine.generate(base).result(),
      engine.score({ tokenIds: TOKENS, from: FROM, observer }),
    ]);
    expect(good?.status).toBe("fulfilled");
    expect(bad).toMatchObject({ reason: { message: "the observer of request 1 failed: no third step" } });
    expect(call).toMatchObject({ reason: { message: "score: the observer failed: Error: no third step" } });
    for (const one of [bad, call]) expect((one as PromiseRejectedResult).reason).toBeInstanceOf(RequestError);
    expect((await engine.generate(base).result()).tokenIds).toHaveLength(12);
  });

  test.each<[unknown, string]>([
    [5, "generate: observer must be an object with wants and onStep, got 5"],
    [{ onStep: () => {} }, "observer.wants must be a list of selection, weights, output, got undefined"],
    [{ wants: ["scores"], onStep: () => {} }, 'got ["scores"]'],
    [{ wants: [] }, "observer.onStep must be a function, got undefined"],
    [{ wants: [], onStep: () => {}, every: 0 }, "observer.every must be a whole number of at least 1, got 0"],
    [
      { wants: [], onStep: () => {}, layers: [2] },
      "observer.layers must be a list of layers from 0 to 1, got [2]",
    ],
  ])("%j is refused", async (observer, message) => {
    const engine = await openEngine();
    expect(() => engine.generate({ ...base, observer: observer as AttentionObserver })).toThrow(RequestError);
    expect(() => engine.generate({ ...base, observer: observer as AttentionObserver })).toThrow(message);
  });
});
