import { expect, test } from "vitest";
import type { Capacity } from "../backend/backend.ts";
import { BackendError, ConfigError } from "../base/errors.ts";
import { fitContext } from "./fit-context.ts";

const capacity = { pageSize: 16, maxSequenceLength: 1024, maxPages: 256 } as Capacity;
const limit = (sizeBytes: number) => ({
  name: "memory",
  fits: ({ maxPages, maxSequenceLength }: Capacity) => maxPages * 16 + maxSequenceLength <= sizeBytes,
});

test("what fits is left alone, to the byte", () => {
  expect(fitContext(capacity, limit(4096 + 1024), false)).toEqual({ capacity, contextNote: undefined });
});

test("room for concurrent requests goes first, the context stays", () => {
  const fitted = fitContext(capacity, limit(4096 + 1023), false);
  expect(fitted).toEqual({ capacity: { ...capacity, maxPages: 255 }, contextNote: undefined });
});

test("then the context goes down to what one sequence has room for, with the reason", () => {
  const fitted = fitContext(capacity, limit(650), false);
  expect(fitted.capacity).toMatchObject({ maxSequenceLength: 320, maxPages: 20 });
  expect(fitted.contextNote).toMatch(/^context lowered from 1024 to 320 tokens: /);
});

test("a context that was asked for and does not fit is an error that names what fits", () => {
  const fit = () => fitContext(capacity, limit(650), true);
  expect(fit).toThrow(ConfigError);
  expect(fit).toThrow("the longest that fits is 320");
});

test("no room for a single page is a BackendError", () => {
  expect(() => fitContext(capacity, limit(16), false)).toThrow(BackendError);
});
