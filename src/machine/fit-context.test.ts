import { describe, expect, test } from "vitest";
import { sizesOf } from "../../test/sizes.ts";
import type { Capacity } from "../backend/backend.ts";
import { BackendError, ConfigError } from "../base/errors.ts";
import { createWasmHost } from "../node/wasm-host.ts";
import { WASM } from "./backends.ts";
import { concurrent, fitContext } from "./fit-context.ts";

const capacity = { pageSize: 16, maxSequenceLength: 1024, maxPages: 256, maxBatchSequences: 4 } as Capacity;
const NOTHING = { context: false, concurrency: false };
const limit = (sizeBytes: number) => ({
  name: "memory",
  fits: ({ maxPages, maxSequenceLength }: Capacity) => maxPages * 16 + maxSequenceLength <= sizeBytes,
});

test("sizes that fit exactly stay unchanged", () => {
  expect(fitContext(capacity, limit(4096 + 1024), NOTHING)).toEqual({ capacity, contextNote: undefined });
});

test("pages are lowered first, and the context and the number of requests stay", () => {
  const fitted = fitContext(capacity, limit(4096 + 1023), NOTHING);
  expect(fitted).toEqual({ capacity: { ...capacity, maxPages: 255 }, contextNote: undefined });
});

test("then the context is lowered to the memory of one sequence, with the reason", () => {
  const fitted = fitContext(capacity, limit(650), NOTHING);
  expect(fitted.capacity).toMatchObject({ maxSequenceLength: 320, maxPages: 20 });
  expect(fitted.contextNote).toMatch(/^context lowered from 1024 to 320 tokens: /);
});

test("a requested context that does not fit is an error that names the longest that fits", () => {
  const fit = () => fitContext(capacity, limit(650), { context: true, concurrency: true });
  expect(fit).toThrow(ConfigError);
  expect(fit).toThrow("the longest that fits is 320");
});

test("no room for a single page is a BackendError", () => {
  expect(() => fitContext(capacity, limit(16), NOTHING)).toThrow(BackendError);
});

describe("concurrent requests", () => {
  const many = {
    pageSize: 16,
    maxSequenceLength: 1024,
    maxPages: 64 * 32,
    maxBatchSequences: 32,
  } as Capacity;
  /** Scores of 100 bytes a request beside 16 bytes a page. */
  const beside = (sizeBytes: number) => ({
    name: "memory",
    fits: ({ maxPages, maxBatchSequences }: Capacity) => maxPages * 16 + maxBatchSequences * 100 <= sizeBytes,
  });

  test.each<[string, number, number, number]>([
    ["stay where only pages are too many", 64 * 16 + 3200, 32, 64],
    ["are halved until one sequence of the whole context fits", 64 * 16 + 3199, 16, 163],
    ["go down to 4", 64 * 16 + 400, 4, 64],
  ])("that nobody named %s", (_, sizeBytes, sequences, pages) => {
    const { capacity: fitted, contextNote } = fitContext(many, beside(sizeBytes), NOTHING);
    expect(fitted).toMatchObject({ maxBatchSequences: sequences, maxPages: pages, maxSequenceLength: 1024 });
    expect(contextNote).toBeUndefined();
  });

  test("that were named stay, and the context goes down", () => {
    const fitted = fitContext(many, beside(3200 + 160), { context: false, concurrency: true });
    expect(fitted.capacity).toMatchObject({ maxBatchSequences: 32, maxSequenceLength: 160 });
  });

  test("are cut with their pages", () => {
    expect(concurrent(many, 8)).toMatchObject({ maxBatchSequences: 8, maxPages: 512 });
    expect(concurrent(many, 32)).toBe(many);
  });
});

test("a q8 cache fits three times the context of an f32 cache on the CPU, beside key bounds and scores in f32", async () => {
  const [model, wanted] = sizesOf({
    ...{ numLayers: 36, numKvHeads: 8, numQueryHeads: 32, headDim: 128, hiddenSize: 64 },
    ...{ maxSequenceLength: 131_072, maxPages: 8192, maxBatchSequences: 1 },
  });
  const longest = async (cacheDtype: "f16" | "f32" | "q8") => {
    const candidate = await WASM.probe({ wasm: createWasmHost() }, { cacheDtype });
    const limits = candidate.memoryLimit({ model, weightBytes: 1 << 30 });
    return fitContext(wanted, limits, NOTHING).capacity.maxSequenceLength;
  };
  const [f32, f16, q8] = [await longest("f32"), await longest("f16"), await longest("q8")];
  expect(f16).toBe(f32);
  expect(q8 / f32).toBeGreaterThan(3);
  expect(q8 / f32).toBeLessThan((4 * 128) / (128 + 4));
});
