import { describe, expect, it } from "vitest";
import { ConfigError } from "../../src/node/index.ts";
import { Random } from "../problems/random.ts";
import { passAtK } from "./exact.ts";
import { comparePaired, isUndecided, summarise } from "./index.ts";
import { makeAttempt, makeAttempts } from "./make-attempt.ts";

const quest = { attention: "quest:budget=256" };
const alternate = (count: number, everyNth: number) =>
  Array.from({ length: count }, (_, i) => (i % everyNth === 0 ? 0 : 1));

describe("summarise", () => {
  it("weighs problems alike, whatever their number of attempts", () => {
    const attempts = [
      makeAttempt({ problemId: "a", attempt: 0, score: 1 }),
      makeAttempt({ problemId: "a", attempt: 1, score: 1 }),
      makeAttempt({ problemId: "a", attempt: 2, score: 1 }),
      makeAttempt({ problemId: "b", attempt: 0, score: 0 }),
    ];
    const [cell] = summarise(attempts);
    expect(cell?.accuracy?.value).toBe(0.5);
    expect(cell?.attemptsPerProblem).toEqual([1, 3]);
    expect(cell?.warnings.join("\n")).toContain("1 to 3 attempts a problem");
  });

  it("has the interval of two problems that differ: 0 to 1, since a quarter of resamples lies at each end", () => {
    const accuracy = summarise(makeAttempts([0, 1]))[0]?.accuracy;
    expect(accuracy).toEqual({ value: 0.5, interval: [0, 1], intervalBy: "bootstrap" });
  });

  it("bounds the accuracy of all right and of none right by exact intervals, which the bootstrap has not", () => {
    const right = summarise(makeAttempts(new Array(20).fill(1)))[0]?.accuracy;
    expect(right).toMatchObject({ value: 1, intervalBy: "exact" });
    expect(right?.interval?.[0]).toBeCloseTo(0.8316, 4); // Clopper and Pearson, 20 of 20
    expect(right?.interval?.[1]).toBe(1);
    const wrong = summarise(makeAttempts(new Array(20).fill(0)))[0]?.accuracy;
    expect(wrong?.interval?.[0]).toBe(0);
    expect(wrong?.interval?.[1]).toBeCloseTo(0.1684, 4);
  });

  it("gives no interval for one problem's length, and a wide one for its accuracy", () => {
    const [cell] = summarise([makeAttempt()]);
    expect(cell?.generationTokens).toEqual({ value: 100, interval: null, intervalBy: "single" });
    expect(cell?.accuracy?.interval?.[0]).toBeCloseTo(0.025, 10);
    expect(cell?.accuracy?.interval?.[1]).toBe(1);
    expect(cell?.warnings.join("\n")).toMatch(/1 problem, too few.*98 points wide/s);
  });

  it("gives a partly right single problem no interval at all", () => {
    const rows = [makeAttempt({ score: 1 }), makeAttempt({ attempt: 1, score: 0 })];
    expect(summarise(rows)[0]?.accuracy).toEqual({ value: 0.5, interval: null, intervalBy: "single" });
  });

  it("gives the same whatever the order of rows", () => {
    const rows = makeAttempts(alternate(30, 3)).map((row, i) => ({ ...row, completionTokens: 100 + i ** 3 }));
    const shuffled = new Random(3).sample(rows, rows.length);
    expect(shuffled).not.toEqual(rows);
    expect(summarise(shuffled)).toEqual(summarise(rows));
  });

  it("takes seconds a problem as length times time a token, and leaves out attempts that nobody timed", () => {
    const { msPerToken: _, ...untimed } = makeAttempt({ problemId: "b", completionTokens: 9000 });
    const [cell] = summarise([makeAttempt({ completionTokens: 500, msPerToken: 4 }), untimed]);
    expect(cell?.secondsPerProblem?.value).toBe(2);
    expect(cell?.msPerToken?.median).toBe(4);
    expect(cell?.generationTokens?.value).toBe(4750);
    expect(summarise([untimed])[0]?.msPerToken).toBeUndefined();
  });

  it("takes the loss over tokens and its perplexity, without lengths of what was forced", () => {
    const forced = { metric: "loss", finishReason: "scored", completionTokens: 0 } as const;
    const [cell] = summarise([
      makeAttempt({ ...forced, problemId: "a", score: 1, scoredTokens: 300 }),
      makeAttempt({ ...forced, problemId: "b", score: 2, scoredTokens: 100 }),
    ]);
    expect(cell?.loss?.value).toBe(1.25);
    expect(cell?.perplexity?.value).toBeCloseTo(Math.exp(1.25), 12);
    expect(cell?.perplexity?.interval).toEqual([Math.exp(1), Math.exp(2)]);
    expect(cell?.generationTokens).toBeUndefined();
    expect(cell?.truncated).toBeUndefined();
    expect(cell?.accuracy).toBeUndefined();
  });

  it("has pass@k for powers of two and for all attempts that every problem has", () => {
    const attempts = [0, 1].flatMap((problem) =>
      Array.from({ length: 6 }, (_, attempt) =>
        makeAttempt({ problemId: `p${problem}`, attempt, score: attempt < problem * 2 ? 1 : 0 }),
      ),
    );
    const [cell] = summarise(attempts);
    expect(cell?.passAt.map(({ k }) => k)).toEqual([2, 4, 6]);
    expect(cell?.passAt[0]?.pass.value).toBeCloseTo((1 - (4 * 3) / (6 * 5)) / 2, 12);
    expect(cell?.passAt[2]?.pass.value).toBe(0.5);
    expect(() => passAtK({ attempts: 3, right: 1, k: 4 })).toThrow("needs 4 attempts");
  });

  it("refuses a cell of several settings and an attempt that is there twice, by name", () => {
    const twice = [makeAttempt(), makeAttempt()];
    expect(() => summarise(twice)).toThrow(ConfigError);
    expect(() => summarise(twice)).toThrow("attempt 0 at problem p0 of registers under full is there twice");
    const mixed = [makeAttempt(), makeAttempt({ attempt: 1, settingsHash: "other" })];
    expect(() => summarise(mixed)).toThrow("different settings");
  });

  it("covers the true accuracy in at least 92 % of 300 samples of 40 problems", () => {
    const random = new Random(8);
    let covered = 0;
    for (let sample = 0; sample < 300; sample++) {
      const scores = Array.from({ length: 40 }, () => (random.unit() < 0.8 ? 1 : 0));
      const interval = summarise(makeAttempts(scores, { msPerToken: 1, attendedFraction: 1 }))[0]?.accuracy
        ?.interval;
      if (interval && interval[0] <= 0.8 && 0.8 <= interval[1]) covered++;
    }
    expect(covered).toBeGreaterThanOrEqual(276);
    expect(covered).toBeLessThan(300);
  });
});

describe("comparePaired", () => {
  it("pairs shared problems of the same seed alone, and says how many attempts are left out", () => {
    const ours = makeAttempts([1, 1, 0, 1], quest).slice(1); // p1, p2, p3
    const theirs = makeAttempts([1, 1, 1, 0]).slice(0, 3); // p0, p1, p2
    const [compared] = comparePaired([...ours, ...theirs], "full");
    expect(compared).toMatchObject({ problems: 2, pairs: 2, unpaired: 2, better: 0, worse: 1 });
    expect(compared?.difference.value).toBe(-0.5);
    expect(compared?.warnings.join("\n")).toContain("2 attempts without a partner");
    const otherSeed = theirs.map((row) => ({ ...row, seed: row.seed + 1 }));
    expect(comparePaired([...ours, ...otherSeed], "full")).toEqual([]);
  });

  it("finds a small difference that two separate intervals hide", () => {
    const scores = alternate(100, 2);
    const worse = scores.map((score, i) => (i < 20 ? 0 : score)); // 10 of 100 lost, none won
    const attempts = [...makeAttempts(scores), ...makeAttempts(worse, quest)];
    const [full, sparse] = summarise(attempts);
    expect(sparse?.accuracy?.interval?.[1]).toBeGreaterThan(full?.accuracy?.interval?.[0] ?? 1); // they overlap
    const [compared] = comparePaired(attempts, "full");
    expect(compared?.difference.interval?.[1]).toBeLessThan(-0.03);
    expect(compared?.pValue).toBeCloseTo(2 / 2 ** 10, 12);
    expect(compared?.warnings).toEqual([]); // surely worse than a point
  });

  it("bounds a difference that no problem shows: no difference in 40 problems may still be 9 points", () => {
    const [compared] = comparePaired(
      [...makeAttempts(alternate(40, 4)), ...makeAttempts(alternate(40, 4), quest)],
      "full",
    );
    expect(compared?.difference).toMatchObject({ value: 0, intervalBy: "exact" });
    expect(compared?.difference.interval?.[1]).toBeCloseTo(1 - 0.025 ** (1 / 40), 12);
    expect(compared?.difference.interval?.[0]).toBeCloseTo(0.025 ** (1 / 40) - 1, 12);
    expect(compared?.pValue).toBe(1);
    expect(compared?.warnings.join("\n")).toContain("undecided");
  });

  it("compares lengths and seconds of pairs, as differences and as ratios of totals", () => {
    const attempts = [
      ...makeAttempts([1, 1], { completionTokens: 1000, msPerToken: 4 }),
      ...makeAttempts([1, 1], { ...quest, completionTokens: 1100, msPerToken: 2 }),
    ];
    const [compared] = comparePaired(attempts, "full");
    expect(compared?.generationTokens?.value).toBe(100);
    expect(compared?.lengthRatio?.value).toBeCloseTo(1.1, 12);
    expect(compared?.seconds?.value).toBeCloseTo(-1.8, 12);
    expect(compared?.speedup?.value).toBeCloseTo(4 / 2.2, 12);
  });

  it("counts a lower loss as better", () => {
    const forced = { metric: "loss", finishReason: "scored", scoredTokens: 10 } as const;
    const attempts = [
      ...makeAttempts([2, 2, 2], forced),
      ...makeAttempts([1.5, 1.5, 2.25], { ...forced, ...quest }),
    ];
    const [compared] = comparePaired(attempts, "full");
    expect(compared).toMatchObject({ better: 2, worse: 1 });
    expect(compared?.difference.value).toBeCloseTo(-0.25, 12);
  });

  it("compares cells of the same task and length only, and refuses a baseline that nobody ran", () => {
    const attempts = [
      ...makeAttempts([1, 0], { length: 1024 }),
      ...makeAttempts([1, 0], { length: 2048, ...quest }),
    ];
    expect(comparePaired(attempts, "full")).toEqual([]);
    expect(() => comparePaired(attempts, "ful")).toThrow(
      "no attempt is of the baseline ful; expected one of full, quest:budget=256",
    );
    expect(comparePaired([], "full")).toEqual([]);
  });
});

it.each([
  ["correct", [-0.06, 0.01], true],
  ["correct", [-0.04, 0.02], false], // at worst four points
  ["correct", [-0.2, -0.02], false], // surely worse than a point
  ["loss", [-0.01, 0.06], true],
  ["loss", [0.02, 0.3], false],
  ["loss", [-0.01, 0.04], false],
] as const)("a difference in %s of %j is undecided: %s", (metric, interval, undecided) => {
  expect(isUndecided(interval, metric)).toBe(undecided);
});
