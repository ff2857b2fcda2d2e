import fc from "fast-check";
import { expect, test } from "vitest";
import { rankLogprobs, TokenTexts } from "./logprobs.ts";

const logit = fc.oneof(
  fc.constantFrom(Number.NEGATIVE_INFINITY, -2, 0, 3),
  fc.float({ min: -80, max: 80, noNaN: true }),
);

test("the logarithms are those of softmax, and the best tokens come in order, ties by id", () => {
  fc.assert(
    fc.property(
      fc.array(logit, { minLength: 1, maxLength: 50 }).filter((values) => values.some(Number.isFinite)),
      fc.nat({ max: 25 }),
      fc.nat(),
      (values, count, pick) => {
        const logits = Float32Array.from(values);
        const largest = Math.max(...logits);
        const mass = logits.reduce((sum, value) => sum + Math.exp(value - largest), 0);
        const expected = (id: number) => (logits[id] ?? 0) - largest - Math.log(mass);
        const tokenId = pick % values.length;
        const { logprob, top } = rankLogprobs(logits, tokenId, count);
        if (Number.isFinite(logits[tokenId])) expect(logprob).toBeCloseTo(expected(tokenId), 9);
        else expect(logprob).toBe(Number.NEGATIVE_INFINITY);
        const order = [...logits.keys()].sort((a, b) =>
          logits[b] === logits[a] ? a - b : (logits[b] ?? 0) - (logits[a] ?? 0),
        );
        expect(top.map(({ id }) => id)).toEqual(order.slice(0, count));
        for (const one of top.filter(({ id }) => Number.isFinite(logits[id])))
          expect(one.logprob).toBeCloseTo(expected(one.id), 9);
      },
    ),
    { numRuns: 500 },
  );
});

test("logits far apart and far from 0 neither overflow nor lose the token", () => {
  const logits = Float32Array.of(30_000, 29_999, -30_000);
  const { logprob, top } = rankLogprobs(logits, 1, 3);
  expect(logprob).toBeCloseTo(-1.3132616875182228, 10);
  expect(top.map(({ id }) => id)).toEqual([0, 1, 2]);
  expect(top[2]?.logprob).toBeCloseTo(-60_000.3133, 3);
});

test("a token that is a part of a character has its own bytes if the tokenizer tells them", () => {
  const stream = { push: (id: number) => (id === 0 ? " é" : ""), end: () => "" };
  const plain = new TokenTexts({ decodeStream: () => stream });
  const ranked = { logprob: -1, top: [{ id: 1, logprob: -2 }] };
  expect(plain.describe(0, ranked)).toEqual({
    ...{ id: 0, text: " é", bytes: [0x20, 0xc3, 0xa9], logprob: -1 },
    top: [{ id: 1, text: "", bytes: [], logprob: -2 }],
  });
  const parts = new TokenTexts({
    decodeStream: () => stream,
    outputBytes: () => ({ bytes: (id) => Uint8Array.of(0xc3 + id) }),
  });
  expect(parts.describe(0, ranked)).toMatchObject({
    text: "\ufffd",
    bytes: [0xc3],
    top: [{ bytes: [0xc4] }],
  });
});
