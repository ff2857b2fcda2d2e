import { expect, test } from "vitest";
import type { BackendShape } from "./backend/backend.ts";
import { BackendError, ConfigError } from "./base/errors.ts";
import { fitContext } from "./fit-context.ts";

const shape = { pageSize: 16, maxSequenceLength: 1024, numPages: 256 } as BackendShape;
const limit = (sizeBytes: number) => ({
  name: "memory",
  fits: ({ numPages, maxSequenceLength }: BackendShape) => numPages * 16 + maxSequenceLength <= sizeBytes,
});

test("what fits is left alone, to the byte", () => {
  expect(fitContext(shape, limit(4096 + 1024), false)).toEqual({ shape, contextNote: undefined });
});

test("room for concurrent requests goes first, the context stays", () => {
  const fitted = fitContext(shape, limit(4096 + 1023), false);
  expect(fitted).toEqual({ shape: { ...shape, numPages: 255 }, contextNote: undefined });
});

test("then the context goes down to what one sequence has room for, with the reason", () => {
  const fitted = fitContext(shape, limit(650), false);
  expect(fitted.shape).toMatchObject({ maxSequenceLength: 320, numPages: 20 });
  expect(fitted.contextNote).toMatch(/^context lowered from 1024 to 320 tokens: /);
});

test("a context that was asked for and does not fit is an error that names what fits", () => {
  const fit = () => fitContext(shape, limit(650), true);
  expect(fit).toThrow(ConfigError);
  expect(fit).toThrow("the longest that fits is 320");
});

test("no room for a single page is a BackendError", () => {
  expect(() => fitContext(shape, limit(16), false)).toThrow(BackendError);
});
