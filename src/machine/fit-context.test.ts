import { expect, test } from "vitest";
import type { Capacity } from "../backend/backend.ts";
import { BackendError, ConfigError } from "../base/errors.ts";
import { fitContext } from "./fit-context.ts";

const capacity = { pageSize: 16, maxSequenceLength: 1024, maxPages: 256 } as Capacity;
const limit = (sizeBytes: number) => ({
  name: "memory",
  fits: ({ maxPages, maxSequenceLength }: Capacity) => maxPages * 16 + maxSequenceLength <= sizeBytes,
});

test("sizes that fit exactly stay unchanged", () => {
  expect(fitContext(capacity, limit(4096 + 1024), false)).toEqual({ capacity, contextNote: undefined });
});

test("concurrency is lowered first, and the context stays", () => {
  const fitted = fitContext(capacity, limit(4096 + 1023), false);
  expect(fitted).toEqual({ capacity: { ...capacity, maxPages: 255 }, contextNote: undefined });
});

test("then the context is lowered to the memory of one sequence, with the reason", () => {
  const fitted = fitContext(capacity, limit(650), false);
  expect(fitted.capacity).toMatchObject({ maxSequenceLength: 320, maxPages: 20 });
  expect(fitted.contextNote).toMatch(/^context lowered from 1024 to 320 tokens: /);
});

test("a requested context that does not fit is an error that names the longest that fits", () => {
  const fit = () => fitContext(capacity, limit(650), true);
  expect(fit).toThrow(ConfigError);
  expect(fit).toThrow("the longest that fits is 320");
});

test("no room for a single page is a BackendError", () => {
  expect(() => fitContext(capacity, limit(16), false)).toThrow(BackendError);
});
