import { homedir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, it, test, vi } from "vitest";
import { loadPolicyFile, namesPolicyFile, splitPolicyFile } from "./policy-file.ts";

afterEach(() => {
  vi.unstubAllEnvs();
});

test.each([
  ["./mine.mjs:budget=64", "./mine.mjs", ":budget=64"],
  ["/policies/mine.mjs", "/policies/mine.mjs", ""],
  ["C:\\policies\\mine.mjs:budget=64,mode=fast", "C:\\policies\\mine.mjs", ":budget=64,mode=fast"],
  ["c:/policies/mine.mjs", "c:/policies/mine.mjs", ""],
  ["..\\mine.js:a=C:\\b", "..\\mine.js", ":a=C:\\b"],
])("%s is a path and its settings", (spec, path, settings) => {
  expect(namesPolicyFile(spec)).toBe(true);
  expect(splitPolicyFile(spec)).toEqual({ path, settings });
});

test.each([
  "less-is-more:budget=64",
  "quest",
  "mine.mjs:budget=64",
  "c:budget=64",
])("%s does not begin as a path", (spec) => {
  expect(namesPolicyFile(spec)).toBe(false);
});

it("takes ~ for the home of the system's user, where no variable names it, as on Windows", async () => {
  vi.stubEnv("HOME", undefined);
  const path = join(homedir(), "no-such-policy.mjs");
  await expect(loadPolicyFile("~/no-such-policy.mjs")).rejects.toThrow(path);
});
