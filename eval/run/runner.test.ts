import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { BackendError, RequestError } from "../../src/node/index.ts";
import type { Attempt } from "../attempts/attempt.ts";
import { AttemptLog, readAttempts } from "../attempts/attempt-log.ts";
import type { ChatProblem, ForcedProblem, Task } from "../tasks/task.ts";
import { makePlan, type PlanOptions } from "./plan.ts";
import { type AttemptFailure, runPlan } from "./runner.ts";
import { FakeSolver } from "./testing/fake-solver.ts";
import { remainingWork } from "./work.ts";

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "lessismore-run-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

const chat = (i: number): ChatProblem => ({
  kind: "chat",
  id: `p${i}`,
  messages: [{ role: "user", content: `add ${i} and ${i}` }],
  question: `add ${i} and ${i}`,
  target: String(2 * i),
  answerKind: "integer",
  doc: { i },
});
const sums: Task = {
  ...{ name: "sums", version: 1, settings: {}, kind: "chat", metric: "correct" },
  ...{ defaultLengths: [100], defaultAttempts: 2 },
  problems: async ({ count = 4 }) => Array.from({ length: count }, (_, i) => chat(i)),
};
const forced = (i: number): ForcedProblem => ({
  ...{ kind: "forced", id: `f${i}`, target: "t", doc: {}, from: 1, countFrom: 2, metric: "loss" },
  tokenIds: [9, 1, 2, 3 + i],
});
const losses: Task = {
  ...{ name: "losses", version: 1, settings: {}, kind: "forced", metric: "loss" },
  ...{ defaultLengths: [], defaultAttempts: 1 },
  problems: async ({ count = 3 }) => Array.from({ length: count }, (_, i) => forced(i)),
};

const planOptions = (given: Partial<PlanOptions> = {}): PlanOptions => ({
  tasks: [sums, losses],
  lengths: [],
  methods: [{ label: "full" }, { label: "quest" }],
  sampling: { temperature: 1 },
  seed: 1,
  grader: "strict",
  solver: new FakeSolver(),
  ...given,
});

async function run(given: Partial<PlanOptions> = {}, signal = new AbortController().signal) {
  const options = planOptions(given);
  const plan = await makePlan(options);
  const { log, attempts } = await AttemptLog.open(folder);
  const made: Attempt[] = [];
  const failed: AttemptFailure[] = [];
  try {
    const { solver } = options;
    await runPlan({
      ...{ solver, plan, log, attempts, signal },
      onAttempt: (attempt) => made.push(attempt),
      onFailure: (failure) => failed.push(failure),
    });
  } finally {
    await log.close();
  }
  return { made, failed };
}

/** All rows of the folder in an order that does not depend on when they were made. */
async function rows(): Promise<string[]> {
  const lines: string[] = [];
  for await (const attempt of readAttempts(folder)) lines.push(JSON.stringify(attempt));
  return lines.sort();
}

describe("runPlan", () => {
  it("makes every attempt once, and the next run none", async () => {
    const solver = new FakeSolver({ concurrency: 3 });
    const { made } = await run({ solver });
    expect(made).toHaveLength(4 * 2 * 2 + 3 * 2);
    expect(solver.mostInFlight).toBe(3);
    const before = await rows();
    expect(new Set(before).size).toBe(made.length);
    expect((await run()).made).toEqual([]);
    expect(await rows()).toEqual(before);
  });

  it("gives the same rows whatever the concurrency, the order of methods, and where it was stopped", async () => {
    await run({ solver: new FakeSolver({ concurrency: 1 }) });
    const wanted = await rows();
    for (const stopAfter of [1, 5, 11]) {
      rmSync(folder, { recursive: true });
      folder = mkdtempSync(join(tmpdir(), "lessismore-run-"));
      const stop = new AbortController();
      let requests = 0;
      const onSolve = () => {
        if (++requests === stopAfter) stop.abort();
      };
      await expect(run({ solver: new FakeSolver({ onSolve }) }, stop.signal)).rejects.toThrow(/interrupted/);
      expect((await rows()).length).toBeLessThan(wanted.length);
      await run({ methods: [{ label: "quest" }, { label: "full" }] });
      expect(await rows()).toEqual(wanted);
    }
  });

  it("computes the loss of the counted tokens alone, each method its own", async () => {
    const { made } = await run({ tasks: [losses], problems: 1 });
    expect(made.map(({ attention, score, scoredTokens }) => [attention, score, scoredTokens])).toEqual([
      ["full", 2.5, 2],
      ["quest", 3.5, 2],
    ]);
  });

  it.each([
    ["another limit", { maxTokens: 7 }],
    ["another temperature", { sampling: { temperature: 0.5 } }],
    ["another seed", { seed: 2 }],
    ["another grader", { grader: "reference" as const }],
    ["another length", { lengths: [200] }],
    ["another model", { solver: new FakeSolver({ identity: { model: "other" } }) }],
    ["another template variable", { chatTemplateOptions: { enable_thinking: false } }],
    ["another version of the task", { tasks: [{ ...sums, version: 2 }] }],
    ["another setting of the task", { tasks: [{ ...sums, settings: { file: "sha" } }] }],
    [
      "another file of a policy",
      { methods: [{ label: "full", identity: { fileSha256: "b" } }, { label: "quest" }] },
    ],
  ])("reuses no row under %s", async (name, changed) => {
    await run({ tasks: [sums] });
    const { made } = await run({ tasks: [sums], ...changed });
    expect(made).toHaveLength(name.includes("policy") ? 8 : 16);
  });

  it("adds problems, attempts and methods to those that are there", async () => {
    await run({ tasks: [sums], problems: 2, attempts: 1 });
    const { made } = await run({ tasks: [sums], problems: 3, attempts: 2, methods: [{ label: "full" }] });
    expect(made).toHaveLength(3 * 2 - 2);
  });

  it("records a failure, keeps the other attempts, and tries it again in the next run", async () => {
    const tried: string[] = [];
    const onSolve = ({ messages }: { messages: readonly { content?: unknown }[] }) => {
      const text = String(messages[0]?.content);
      if (!text.includes("2")) return;
      tried.push(text);
      throw new RequestError("the prompt is too long");
    };
    const { made, failed } = await run({ tasks: [sums], solver: new FakeSolver({ onSolve }) });
    expect(made).toHaveLength(12);
    expect(tried).toHaveLength(4); // An impossible request is not repeated.
    expect(failed.map(({ problemId, error }) => [problemId, error])).toEqual(
      Array.from({ length: 4 }, () => ["p2", "the prompt is too long"]),
    );
    expect((await run({ tasks: [sums] })).made).toHaveLength(4);
  });

  it("repeats a request that failed for another reason", async () => {
    let left = 2;
    const onSolve = () => {
      if (left-- > 0) throw new Error("connection reset");
    };
    const { made, failed } = await run({
      tasks: [sums],
      solver: new FakeSolver({ onSolve, concurrency: 1 }),
    });
    expect([made.length, failed.length]).toEqual([16, 0]);
  });

  it("stops at once when the backend is lost, and after 8 failures in a row", async () => {
    let requests = 0;
    const lost = () => {
      requests++;
      throw new BackendError("the device is lost");
    };
    await expect(run({ solver: new FakeSolver({ onSolve: lost, concurrency: 2 }) })).rejects.toThrow("lost");
    expect(requests).toBeLessThanOrEqual(2);
    const onSolve = () => {
      throw new RequestError("no");
    };
    await expect(run({ solver: new FakeSolver({ onSolve, concurrency: 1 }) })).rejects.toThrow("no");
    expect(await rows()).toEqual([]);
  });
});

describe("the plan", () => {
  it("divides problems among shards without loss or overlap, under the hashes of one run", async () => {
    const whole = await makePlan(planOptions({ problems: 7 }));
    const shards = await Promise.all(
      [1, 2, 3].map((index) => makePlan(planOptions({ problems: 7, shard: { index, count: 3 } }))),
    );
    for (const [i, cell] of whole.cells.entries()) {
      const parts = shards.map(({ cells }) => cells[i]);
      expect(parts.map((part) => part?.settingsHash)).toEqual(parts.map(() => cell.settingsHash));
      expect(parts.flatMap((part) => part?.problems.map(({ id }) => id) ?? []).sort()).toEqual(
        cell.problems.map(({ id }) => id).sort(),
      );
    }
  });

  it("orders work by method, then long problems first, and forced tokens last, all methods at once", async () => {
    const plan = await makePlan(planOptions({ lengths: [100, 300], problems: 1, attempts: 1 }));
    const work = remainingWork(plan, new Map());
    expect(
      work.map((one) =>
        one.kind === "chat"
          ? `${one.cell.attention} ${one.cell.length}`
          : one.cells.map((cell) => cell.attention),
      ),
    ).toEqual(["full 300", "full 100", "quest 300", "quest 100", ["full", "quest"]]);
  });

  it("refuses more attempts than a run can hold, and says what to take fewer of", async () => {
    await expect(makePlan(planOptions({ tasks: [sums], attempts: 100_000_000 }))).rejects.toThrow(
      /attempts, expected at most 1000000: take fewer --attempts/,
    );
  });

  it("gives an attempt the same seed under every method, and others for others", async () => {
    const plan = await makePlan(planOptions({ tasks: [sums] }));
    const seeds = (label: string) =>
      remainingWork(plan, new Map()).flatMap((one) =>
        one.kind === "chat" && one.cell.attention === label ? [one.seed] : [],
      );
    expect(seeds("full")).toEqual(seeds("quest"));
    expect(new Set(seeds("full")).size).toBe(8);
  });
});
