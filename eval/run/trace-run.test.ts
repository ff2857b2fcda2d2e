import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { BackendError, RequestError } from "../../src/node/index.ts";
import { type EvaluationOptions, evaluate } from "../commands/evaluate.ts";
import type { Task } from "../tasks/task.ts";
import { FakeSolver } from "./testing/fake-solver.ts";

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "lessismore-traces-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

const sums: Task = {
  ...{ name: "sums", version: 1, settings: {}, kind: "chat", metric: "correct" },
  ...{ defaultLengths: [], defaultAttempts: 2 },
  problems: async () =>
    [1, 2, 3].map((i) => ({
      ...{ kind: "chat", id: `p${i}`, question: `${i}`, target: `${i}`, answerKind: "integer", doc: {} },
      messages: [{ role: "user", content: `${i}` }],
    })),
};

/** Runs three problems with two traces under one method; returns the failures. */
async function trace(solver: FakeSolver, given: Partial<EvaluationOptions> = {}) {
  const { failures } = await evaluate(solver, {
    parts: [{ tasks: [sums], attentions: [{ spec: "quest", attention: "quest" }], lengths: [] }],
    ...{ sampling: { temperature: 0 }, seed: 1, grader: "strict", out: folder, options: {} },
    signal: new AbortController().signal,
    traces: { problems: 2 },
    ...given,
  });
  return failures;
}

const watched = (observe: () => Promise<void> = async () => {}) =>
  Object.assign(new FakeSolver(), { observe });

it("says which trace failed, keeps the others, and makes the missing one at the next run", async () => {
  let calls = 0;
  const failures = await trace(
    watched(async () => {
      if (++calls === 1) throw new RequestError("out of pages");
    }),
  );
  expect(failures.map(({ problemId, error }) => [problemId, error])).toEqual([
    ["p1", "its trace: out of pages"],
  ]);
  expect(readdirSync(join(folder, "traces"))).toHaveLength(1);
  expect(readdirSync(folder)).toContain("failures.jsonl");
  calls = 1;
  expect(await trace(watched(async () => void calls++))).toEqual([]);
  expect(calls).toBe(2);
  expect(readdirSync(join(folder, "traces"))).toHaveLength(2);
});

it("ends with the error of a backend, and leaves no unfinished trace behind at the next run", async () => {
  const lost = watched(async () => {
    throw new BackendError("the device is lost");
  });
  await expect(trace(lost)).rejects.toThrow("the device is lost");
  await trace(watched());
  expect(readdirSync(join(folder, "traces")).filter((name) => name.endsWith(".partial"))).toEqual([]);
});

it("refuses a solver that nobody can watch before it asks anything", async () => {
  const solver = new FakeSolver();
  await expect(trace(solver)).rejects.toThrow("lends no view of its attention");
  expect(solver.mostInFlight).toBe(0);
});
