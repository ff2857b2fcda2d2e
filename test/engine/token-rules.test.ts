/** Penalties, biases, stop tokens, minimum lengths and constraints of requests, on every backend. */
import { afterEach, describe, expect, test } from "vitest";
import { RequestError } from "../../src/base/errors.ts";
import type { TokenConstraint } from "../../src/constraint/constraint.ts";
import type { GenerationEngine } from "../../src/engine/engine.ts";
import type { GenerationRequest, GenerationResult } from "../../src/engine/request.ts";
import { BACKENDS } from "../conformance/backend-table.ts";
import { characters, openTiny, type TinyOptions } from "./tiny-engine.ts";

const VOCABULARY = 320;
const ids = Array.from({ length: 40 }, (_, i) => 3 + ((i * 37) % 300));
const greedy = { maxTokens: 16, temperature: 0 };

const opened: GenerationEngine[] = [];
afterEach(async () => {
  for (const engine of opened.splice(0)) await engine.close();
});

/** Allows the tokens of a set that do not repeat the last one, until it has `length` of them; then ids of `ends` alone. */
function alternating(allowed: readonly number[], length: number, ends: readonly number[]): TokenConstraint {
  const open = (taken: readonly number[]): TokenConstraint => {
    const tokens = [...taken];
    return {
      fillMask(mask) {
        mask.fill(0);
        const next = tokens.length < length ? allowed.filter((id) => id !== tokens.at(-1)) : ends;
        for (const id of next) mask[id >>> 5] |= 1 << (id & 31);
      },
      accept(id) {
        if (!allowed.includes(id) || id === tokens.at(-1) || tokens.length >= length) return false;
        tokens.push(id);
        return true;
      },
      get isComplete() {
        return tokens.length >= length;
      },
      clone: () => open(tokens),
    };
  };
  return open([]);
}

describe.each(BACKENDS)("$name", ({ open, cases }) => {
  const isShort = cases !== undefined;
  async function openEngine(options: TinyOptions = {}): Promise<GenerationEngine> {
    const engine = await openTiny(open, options);
    opened.push(engine);
    return engine;
  }

  /** Checks each token of a greedy result: the best of the model's logits after `change`, within rounding. */
  async function checkGreedy(
    engine: GenerationEngine,
    prompt: readonly number[],
    tokenIds: readonly number[],
    change: (id: number, logit: number, before: readonly number[]) => number,
  ): Promise<void> {
    const logits = await engine.logits([...prompt, ...tokenIds]);
    for (const [i, token] of tokenIds.entries()) {
      const first = (prompt.length + i - 1) * VOCABULARY;
      const before = tokenIds.slice(0, i);
      const changed = Array.from(logits.subarray(first, first + VOCABULARY), (logit, id) =>
        change(id, logit, before),
      );
      expect(changed[token], `token ${i}`).toBeGreaterThanOrEqual(Math.max(...changed) - 1e-3);
    }
  }
  const count = (list: readonly number[], id: number) => list.filter((one) => one === id).length;

  test("greedy tokens under penalties and biases are those of the definition, over generated tokens alone", async () => {
    const engine = await openEngine();
    const prompt = ids.slice(0, 12);
    const run = async (some: Partial<GenerationRequest>) =>
      (await engine.generate({ ...greedy, tokenIds: prompt, ...some }).result()).tokenIds;
    const plain = await run({});
    const both = { presencePenalty: 0.9, frequencyPenalty: 0.4, logitBias: { [plain[0] ?? 0]: -3, 7: 1.5 } };
    const penalised = await run(both);
    expect(penalised).not.toEqual(plain);
    await checkGreedy(engine, prompt, penalised, (id, logit, before) => {
      const n = count(before, id);
      const bias = id === plain[0] ? -3 : id === 7 ? 1.5 : 0;
      return logit - (n > 0 ? 0.9 : 0) - 0.4 * n + bias;
    });
    expect(await run({ logitBias: { 9: 100 } })).toEqual(Array(16).fill(9));
    expect(await run({ logitBias: { 9: -100 } })).not.toContain(9);
    if (isShort) return;
    const negative = await run({ frequencyPenalty: -2, presencePenalty: -2 });
    await checkGreedy(engine, prompt, negative, (id, logit, before) => {
      const n = count(before, id);
      return logit + (n > 0 ? 2 : 0) + 2 * n;
    });
    // each token once more than all others: the penalty of a token that came is larger than any difference of logits
    const spread = await run({ frequencyPenalty: 2, logitBias: { 3: 90, 4: 90, 5: 90 } });
    expect([3, 4, 5].map((id) => count(spread, id)).sort()).toEqual([5, 5, 6]);
  });

  test("a constraint allows its tokens alone, the best of them, and ends where it says", async () => {
    const prompt = ids.slice(0, 12);
    const engine = await openEngine({ eosTokenIds: [2] });
    const allowed = [4, 9, 64, 319];
    const constraint = alternating(allowed, 6, [2]);
    const request = { ...greedy, tokenIds: prompt, constraint };
    const { tokenIds, finishReason } = await engine.generate(request).result();
    expect(tokenIds).toHaveLength(7);
    expect([tokenIds.at(-1), finishReason]).toEqual([2, "stop"]);
    await checkGreedy(engine, prompt, tokenIds.slice(0, 6), (id, logit, before) =>
      allowed.includes(id) && id !== before.at(-1) ? logit : Number.NEGATIVE_INFINITY,
    );
    // the caller's constraint has not moved
    expect((await engine.generate(request).result()).tokenIds).toEqual(tokenIds);
    if (isShort) return;
    for (let seed = 0; seed < 5; seed++) {
      const sampled = await engine.generate({ ...request, temperature: 5, seed }).result();
      expect(
        sampled.tokenIds.slice(0, 6).every((id, i, all) => allowed.includes(id) && id !== all[i - 1]),
      ).toBe(true);
    }
  });

  const MIXED: readonly (readonly [string, Partial<GenerationRequest>])[] = [
    ["plain", {}],
    ["plain, sampled", { temperature: 1, seed: 3 }],
    ["constrained", { constraint: alternating([4, 9, 64, 319], 40, [2]) }],
    ["penalised", { presencePenalty: 1, frequencyPenalty: 0.5, temperature: 0.8, seed: 4 }],
    ["biased", { logitBias: { 4: 2, 5: -100 }, attention: "less-is-more:budget=12,layers=0" }],
    ["with a repetition penalty", { repetitionPenalty: 1.5 }],
    ["long", { minTokens: 16, logitBias: { 2: 100 }, maxTokens: 20 }],
    ["penalised and constrained", { frequencyPenalty: 2, constraint: alternating([4, 9, 64], 40, [2]) }],
  ];

  test.each(
    isShort ? [true] : [false, true],
  )("requests of all kinds in one batch, and preempted, have the tokens that they have alone; runs ahead: %s", async (runsAhead) => {
    const sizes = { maxBatchSequences: 8 };
    const mixed = isShort ? MIXED.slice(0, 4) : MIXED;
    const requests = mixed.map(([, some], i) => ({
      ...{ ...greedy, maxTokens: isShort ? 6 : 18 },
      ...some,
      tokenIds: ids.slice(i, i + 14),
    }));
    const eosTokenIds = [2];
    const alone: Partial<GenerationResult>[] = [];
    const large = await openEngine({ runsAhead: false, sizes, eosTokenIds });
    for (const request of requests) alone.push(await outcome(large, request));
    const together = await openEngine({ runsAhead, sizes, eosTokenIds });
    const small = isShort
      ? []
      : [
          await openEngine({
            runsAhead,
            sizes: { ...sizes, maxPages: 12 },
            pool: { firstPages: 3 },
            eosTokenIds,
          }),
        ];
    for (const engine of [together, ...small]) {
      const results = await Promise.all(requests.map((request) => outcome(engine, request)));
      for (const [i, [name]] of mixed.entries()) expect(results[i], name).toEqual(alone[i]);
    }
  });

  async function outcome(engine: GenerationEngine, request: GenerationRequest) {
    const { timings, notes, ...rest } = await engine.generate(request).result();
    return rest;
  }
});

describe("on the reference backend", () => {
  const [{ open }] = BACKENDS;
  async function openEngine(options: TinyOptions = {}): Promise<GenerationEngine> {
    const engine = await openTiny(open, options);
    opened.push(engine);
    return engine;
  }
  const base = { ...greedy, tokenIds: ids.slice(0, 10) };

  test.each([
    false,
    true,
  ])("a request that needs each token leaves out the step ahead; the others do not; runs ahead: %s", async (runsAhead) => {
    const calls: string[] = [];
    const onCall = (call: string) => {
      if (["beginStep", "sample", "tokens"].includes(call)) calls.push(call);
    };
    const engine = await openEngine({ runsAhead, onCall });
    const constraint = alternating([4, 9, 64], 40, [2]);
    await Promise.all([
      engine.generate({ ...base, maxTokens: 5 }).result(),
      engine.generate({ ...base, maxTokens: 3, constraint }).result(),
    ]);
    const step = ["beginStep", "sample"];
    const next = [...step, "tokens"];
    // 20 prompt rows are two chunks, of which the first samples for one request; then five tokens of it, three of the other beside
    // ahead, the other takes part in every second step
    if (runsAhead) expect(calls).toEqual([...step, ...next, ...next, ...next, ...next, ...next, "tokens"]);
    else expect(calls).toEqual(Array(5).fill(next).flat());
  });

  test("requests that need each token never run ahead, and record one step a token", async () => {
    const calls: string[] = [];
    const onCall = (call: string) => {
      if (["beginStep", "tokens"].includes(call)) calls.push(call);
    };
    const engine = await openEngine({ runsAhead: true, onCall });
    for (const some of [{ presencePenalty: 1 }, { frequencyPenalty: 1 }, { repetitionPenalty: 1.1 }]) {
      calls.length = 0;
      await engine.generate({ ...base, ...some, maxTokens: 5 }).result();
      expect(calls).toEqual(Array(5).fill(["beginStep", "tokens"]).flat());
    }
    // what the position alone decides runs ahead
    for (const some of [{ logitBias: { 5: 1 } }, { minTokens: 3 }, { stopTokenIds: [2] }]) {
      calls.length = 0;
      await engine.generate({ ...base, ...some, maxTokens: 4 }).result();
      expect(calls.slice(0, 3)).toEqual(["beginStep", "beginStep", "tokens"]);
    }
  });

  test("a stop token ends the output, is the last of its tokens and not part of its text, whatever ignoreEos says", async () => {
    const engine = await openEngine();
    const sampled = { ...base, temperature: 1, seed: 3 };
    const { tokenIds, text } = await engine.generate(sampled).result();
    const last = tokenIds[6] ?? 0;
    expect(tokenIds.indexOf(last)).toBe(6);
    for (const ignoreEos of [false, true])
      expect(
        await engine.generate({ ...sampled, stopTokenIds: [last, 1], ignoreEos }).result(),
      ).toMatchObject({
        ...{ tokenIds: tokenIds.slice(0, 7), text: text.slice(0, 6), finishReason: "stop" },
      });
  });

  test("before minTokens no end-of-sequence token, stop token or stop text ends the output", async () => {
    const sampled = { ...base, temperature: 1, seed: 3 };
    const { tokenIds } = await (await openEngine()).generate(sampled).result();
    const [, eos = 0, stop = 0] = tokenIds;
    expect(new Set([eos, stop]).size).toBe(2);
    const engine = await openEngine({ eosTokenIds: [eos], runsAhead: true });
    expect((await engine.generate({ ...sampled, maxTokens: 16 }).result()).tokenIds).toHaveLength(2);
    const bias = { logitBias: { [eos]: 90, [stop]: 100 } };
    for (const minTokens of [1, 5]) {
      const result = await engine.generate({ ...sampled, ...bias, minTokens, stopTokenIds: [stop] }).result();
      expect(result.tokenIds).toHaveLength(minTokens + 1);
      expect(result.tokenIds.at(-1)).toBe(stop);
      expect(result.tokenIds.slice(0, -1)).not.toContain(eos);
      expect(result.finishReason).toBe("stop");
    }
    // ignoreEos: an end-of-sequence token is a token like any other
    const free = await engine.generate({ ...sampled, minTokens: 5, ignoreEos: true }).result();
    expect(free.tokenIds).toEqual(tokenIds);
    const text = characters.decode(tokenIds.slice(3, 5));
    const stopped = { ...sampled, ignoreEos: true, stop: text };
    expect((await engine.generate(stopped).result()).tokenIds).toHaveLength(5);
    expect((await engine.generate({ ...stopped, minTokens: 5 }).result()).tokenIds).toHaveLength(5);
    expect((await engine.generate({ ...stopped, minTokens: 6 }).result()).tokenIds).toHaveLength(16);
  });

  test("tokens outside the vocabulary are refused by name", async () => {
    const engine = await openEngine();
    for (const [some, name] of [
      [{ stopTokenIds: [VOCABULARY] }, "stopTokenIds"],
      [{ logitBias: { [VOCABULARY]: 1 } }, "logitBias"],
    ] as const) {
      expect(() => engine.generate({ ...base, ...some })).toThrow(RequestError);
      expect(() => engine.generate({ ...base, ...some })).toThrow(
        `generate: ${name} names token 320, which is not in the vocabulary of 320 tokens (0 to 319)`,
      );
    }
  });

  test("a constraint that throws, allows nothing, or refuses its own token fails its request alone", async () => {
    const engine = await openEngine();
    const good = alternating([4, 9], 40, [2]);
    const broken = (some: Partial<TokenConstraint>): TokenConstraint => {
      const one: TokenConstraint = { ...good, isComplete: false, ...some, clone: () => one };
      return one;
    };
    const constraints = [
      broken({
        fillMask: () => {
          throw new Error("boom");
        },
      }),
      broken({ fillMask: (mask) => mask.fill(0) }),
      broken({ accept: () => false }),
    ];
    const expected = await engine.generate(base).result();
    const [plain, ...failed] = await Promise.allSettled([
      engine.generate(base).result(),
      ...constraints.map((constraint) => engine.generate({ ...base, constraint }).result()),
    ]);
    expect(plain).toMatchObject({ value: { tokenIds: expected.tokenIds } });
    for (const [i, message] of ["boom", "the constraint allows no token", "refused token"].entries())
      expect(failed[i]).toMatchObject({ reason: { message: expect.stringContaining(message) } });
  });

  test("minTokens gives way to a constraint, with a note", async () => {
    const engine = await openEngine({ eosTokenIds: [2] });
    const constraint = alternating([4, 9], 3, [2]);
    const result = await engine.generate({ ...base, constraint, minTokens: 8 }).result();
    expect(result.tokenIds).toHaveLength(4);
    expect(result.notes).toEqual([expect.stringContaining("minTokens 8 is not followed")]);
  });
});
