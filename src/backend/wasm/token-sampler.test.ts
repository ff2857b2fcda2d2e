import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { sampleToken } from "../sample-token.ts";
import { Arena } from "./arena.ts";
import { TokenSampler } from "./token-sampler.ts";

function samplerOf(vocabSize: number) {
  const arena = new Arena(new WebAssembly.Memory({ initial: 16, maximum: 64 }));
  const address = arena.allocate(vocabSize * 8, "two rows of logits");
  return { arena, address, sampler: new TokenSampler(arena, vocabSize) };
}

/** Numbers in [0, 1) that are the same in every run. */
function sequence(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

const params = fc.record({
  temperature: fc.constantFrom(0, 0.3, 1, 2),
  topK: fc.constantFrom(0, 1, 3, 20, 1000),
  topP: fc.constantFrom(1, 0.95, 0.5, 0.01),
  minP: fc.constantFrom(0, 1e-6, 0.05, 0.9, 1),
  repetitionPenalty: fc.constantFrom(1, 1.3),
  seed: fc.nat(),
});
// few values, so that many are equal
const logit = fc.oneof(fc.constantFrom(-2, 0, 1.5, 3), fc.float({ min: -8, max: 8, noNaN: true }));
const masked = fc.oneof({ weight: 3, arbitrary: logit }, fc.constant(Number.NEGATIVE_INFINITY));
const anything = fc.oneof(
  { weight: 12, arbitrary: masked },
  fc.constantFrom(Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY),
);
const logits = fc.oneof(
  ...[logit, masked, anything].map((one) => fc.array(one, { minLength: 1, maxLength: 60 })),
);

const bias = fc.oneof(
  fc.constantFrom(Number.NEGATIVE_INFINITY, -100, 100),
  fc.float({ min: -3, max: 3, noNaN: true }),
);

describe("TokenSampler", () => {
  it("samples the same tokens as sampleToken, for 1 to 60 tokens with ties, biases, masks and NaN, from any row", () => {
    fc.assert(
      fc.property(
        logits,
        params,
        fc.array(fc.nat({ max: 59 }), { maxLength: 10 }),
        fc.nat({ max: 1 }),
        fc.uniqueArray(fc.tuple(fc.nat({ max: 59 }), bias), { selector: ([id]) => id, maxLength: 6 }),
        fc.option(fc.array(fc.nat({ max: 0xffffffff }), { minLength: 2, maxLength: 2 }), { nil: undefined }),
        (values, settings, seen, i, biases, bits) => {
          const { arena, address, sampler } = samplerOf(values.length);
          const seenTokens = seen.map((id) => id % values.length);
          const inVocabulary = biases.filter(([id]) => id < values.length);
          const bias = {
            ids: inVocabulary.map(([id]) => id),
            values: inVocabulary.map(([, value]) => value),
          };
          const mask = bits && Uint32Array.from(bits).subarray(0, Math.ceil(values.length / 32));
          for (let sampleIndex = 0; sampleIndex < 8; sampleIndex++) {
            const row = { params: settings, sampleIndex, seenTokens, bias, mask };
            arena.floats.set(values, address / 4 + i * values.length);
            expect(sampler.sample(address, i, row)).toBe(sampleToken(Float32Array.from(values), row));
          }
        },
      ),
      { numRuns: 1000 },
    );
  });

  it("samples the same tokens as sampleToken of thousands, whether those near the best are enough or not", () => {
    const size = 2000;
    const { arena, address, sampler } = samplerOf(size);
    const random = sequence(7);
    let numFar = 0;
    // all of the mass near the best token; a tenth of it far below
    for (const [spread, peak] of [
      [0.2, 0],
      [2, 0],
      [12, 0],
      [0.3, 10],
      [0.3, 15],
    ] as const)
      for (const [temperature, topP, minP] of [
        [1, 1, 0],
        [0.6, 0.95, 0],
        [1.5, 0.999, 0],
        [1, 1, 0.05],
        [1, 1, 1e-4],
        [1, 0.9, 1e-5],
        [2, 0.99, 0.02],
      ] as const) {
        const values = Float32Array.from(
          { length: size },
          () => 3 * spread * (random() + random() + random() - 1.5),
        );
        values[700] += peak;
        const largest = Math.max(...values);
        for (let sampleIndex = 0; sampleIndex < 40; sampleIndex++) {
          const params = { temperature, topK: 0, topP, minP, repetitionPenalty: 1, seed: 3 };
          const row = { params, sampleIndex, seenTokens: [] };
          arena.floats.set(values, address / 4);
          const token = sampler.sample(address, 0, row);
          expect(token).toBe(sampleToken(values.slice(), row));
          if ((values[token] - largest) / temperature < -8) numFar++;
        }
      }
    expect(numFar).toBeGreaterThan(5);
  });

  it("samples from the new memory after growth", () => {
    const { arena, address, sampler } = samplerOf(4);
    const row = {
      params: { temperature: 0, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1, seed: 1 },
      sampleIndex: 0,
      seenTokens: [],
    };
    arena.floats.set([0, 1, 0, 0], address / 4);
    expect(sampler.sample(address, 0, row)).toBe(1);
    arena.allocate(2 ** 21, "growth");
    arena.floats.set([0, 0, 0, 1], address / 4);
    expect(sampler.sample(address, 0, row)).toBe(3);
  });
});
