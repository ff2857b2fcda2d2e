/** Made-up attempts in the shape of a real run, for tests and for looking at a report. */
import type { Attempt } from "../attempts/attempt.ts";
import { Random } from "../problems/random.ts";

export interface SyntheticRun {
  readonly tasks: readonly string[];
  readonly lengths: readonly number[];
  readonly budgets: readonly number[];
  readonly problems: number;
  readonly attempts: number;
  readonly seed: number;
}

/** Share of the hardest problems that a policy loses at a budget of an eighth of the length, and its reads of selection. */
const POLICIES: Readonly<Record<string, readonly [loss: number, reads: number]>> = {
  "less-is-more:budget=B,recency=0.25,sinks=4,layers=2+7": [0.24, 0.32],
  "less-is-more:budget=B,recency=0.25,sinks=4,layers=2+4+6+8": [0.08, 0.5],
  "tidal-decode:budget=B,layers=2+7": [0.5, 0.32],
  "quest:budget=B,page=16,dense-layers=2": [0.16, 0.28],
  "streaming-llm:budget=B,sinks=4": [0.95, 0],
  "oracle-top-k:budget=B": [0.02, 1],
  "random-tokens:budget=B,seed=1": [1.2, 0],
};

/** Attempts under full attention and seven policies: a problem's difficulty is the same under all. */
export function makeSyntheticRun(run: SyntheticRun): Attempt[] {
  return run.tasks.flatMap((task, t) =>
    run.lengths.flatMap((length, l) => {
      const random = new Random(run.seed * 1000 + t * 100 + l);
      const ease = Array.from({ length: run.problems }, () => random.unit() ** 0.5);
      return methodsAt(run, length).flatMap((method) =>
        cellOf(run, { task, length, ease, random, ...method }),
      );
    }),
  );
}

interface SyntheticMethod {
  readonly attention: string;
  /** What a problem's ease has to exceed to be solved. */
  readonly loss: number;
  readonly read: number;
}

function methodsAt({ budgets }: SyntheticRun, length: number): SyntheticMethod[] {
  const sparse = budgets.flatMap((budget) =>
    Object.entries(POLICIES).map(([spec, [loss, reads]]) => ({
      attention: spec.replace("=B", `=${budget}`),
      loss: loss * Math.min(1, (length / budget / 8) ** 0.7),
      read: Math.min(1, reads + (1 - reads) * (budget / length)),
    })),
  );
  return [{ attention: "full", loss: 0.05, read: 1 }, ...sparse];
}

function cellOf(
  { problems, attempts, seed }: SyntheticRun,
  cell: SyntheticMethod & {
    readonly task: string;
    readonly length: number;
    readonly ease: readonly number[];
    readonly random: Random;
  },
): Attempt[] {
  const { task, length, attention, loss, read, ease, random } = cell;
  return Array.from({ length: problems * attempts }, (_, i): Attempt => {
    const [problem, attempt] = [Math.floor(i / attempts), i % attempts];
    const isRight = (ease[problem] ?? 0) + 0.15 * (random.unit() - 0.5) > loss;
    const msPerToken = 1.4 + (read * length) / 1500 + 0.05 * random.unit();
    const completionTokens = Math.round(length * (0.6 + 0.1 * random.unit()) * (isRight ? 1 : 1.2));
    const isCut = !isRight && random.unit() < 0.3;
    return {
      ...{ settingsHash: `${task} ${length} ${attention}`, task, length, attention, attempt, msPerToken },
      ...{ problemId: `p${problem}`, seed: seed + problem * 1000 + attempt, completionTokens },
      ...{ metric: "correct", score: isRight ? 1 : 0, target: "42", extracted: isRight ? "42" : null },
      ...{ rule: "boxed", promptTokens: 60, finishReason: isCut ? "length" : "stop", response: "" },
      ...{ attendedFraction: read, decodeMs: completionTokens * msPerToken },
    };
  });
}

/** Needles under the same policies, and losses of forced text: what solves no problem. */
export function makeSyntheticForced({ lengths, budgets, seed }: SyntheticRun): Attempt[] {
  const random = new Random(seed);
  return lengths.flatMap((length) =>
    methodsAt({ tasks: [], lengths, budgets, problems: 0, attempts: 0, seed }, length).flatMap((method) => {
      const { attention, loss, read } = method;
      const row = (task: string, problemId: string): Omit<Attempt, "metric" | "score"> => ({
        ...{ settingsHash: `${task} ${length} ${attention}`, task, length, attention, problemId, attempt: 0 },
        ...{ seed, target: "", extracted: null, rule: "forced", promptTokens: length, completionTokens: 0 },
        ...{ scoredTokens: length / 2, finishReason: "scored", response: "", attendedFraction: read },
        msPerToken: 1.4 + (read * length) / 1500,
      });
      const needles = Array.from({ length: 20 }, (_, i): Attempt => {
        const isFound = random.unit() > loss * (1.2 - (i % 10) / 12);
        const depth = ((100 * (i % 10)) / 9).toFixed(0);
        return { ...row("needle", `${i}-depth-${depth}`), metric: "correct", score: isFound ? 1 : 0 };
      });
      const windows = Array.from({ length: 12 }, (_, i): Attempt => {
        const own = new Random(1000 * length + i).unit();
        const score = 2.6 + 0.4 * own + 0.25 * loss * (0.7 + 0.6 * random.unit());
        return { ...row("perplexity", String(i)), metric: "loss", score };
      });
      return [...needles, ...windows];
    }),
  );
}
