import { readFileSync } from "node:fs";
import { Tokenizer } from "@huggingface/tokenizers";
import { describe, expect, it } from "vitest";
import type { Problem } from "../problems/generated-problem.ts";
import { chatText, isCorrect, makeProblems, TASKS, type TaskName } from "../problems/index.ts";
import { Random } from "../problems/random.ts";

const MODEL = new URL("../../models/pico-reasoner/", import.meta.url);
const readJson = (url: URL) => JSON.parse(readFileSync(url, "utf8"));
const hf = new Tokenizer(
  readJson(new URL("tokenizer.json", MODEL)),
  readJson(new URL("tokenizer_config.json", MODEL)),
);
const tokenizer = { encode: (text: string) => hf.encode(text, { add_special_tokens: false }).ids };

const names: readonly TaskName[] = ["registers", "variables", "graph"];
const draw = (task: TaskName, seed: number, budget: number, count: number): Problem[] => {
  const random = new Random(seed);
  return Array.from({ length: count }, () => TASKS[task](random, budget));
};

/** Solvers that read only a problem's text, written from its rules and independent of the generators. */
const solvers: Record<TaskName, (problem: string) => { reasoning: string; answer: string }> = {
  registers(problem) {
    const [ask = "", start = "", ...program] = problem.split("\n");
    const [, steps, asked = ""] = /for (\d+) steps, then give (.)\./.exec(ask) ?? [];
    const value: Record<string, number> = {};
    for (const [, name = "", number] of start.matchAll(/(.)=(\d+)/g)) value[name] = Number(number);
    const read = (operand = ""): number =>
      /^\d+$/.test(operand) ? Number(operand) : (value[operand] ?? Number.NaN);
    const out: string[] = [];
    for (let step = 1, line = 1; step <= Number(steps); step++) {
      const code = (program[line - 1] ?? "").replace(/^\d+: /, "");
      let next = line === program.length ? 1 : line + 1;
      const branch = /^if (.)>(.) goto (\d+)$/.exec(code);
      const sum = /^(.)=(.)(?:([+-])(.+))?$/.exec(code);
      if (branch) {
        const isGreater = read(branch[1]) > read(branch[2]);
        out.push(
          `#${step} ${line} ${branch[1]}>${branch[2]} ${read(branch[1])}>${read(branch[2])} ${isGreater ? "yes" : "no"}`,
        );
        if (isGreater) next = Number(branch[3]);
      } else if (sum) {
        const [, target = "", left, sign, right] = sum;
        const factor = sign === "-" ? -1 : 1;
        const result =
          sign === undefined ? read(left) : (((read(left) + factor * read(right)) % 100) + 100) % 100;
        out.push(`#${step} ${line} ${code}${sign ? `=${read(left)}${sign}${read(right)}` : ""}=${result}`);
        value[target] = result;
      }
      line = next;
    }
    return { reasoning: out.join("\n"), answer: String(value[asked]) };
  },

  variables(problem) {
    const asked = /^Find (..)\./.exec(problem)?.[1] ?? "";
    const equations = Object.fromEntries(
      problem
        .split("\n")
        .slice(1)
        .map((line) => line.split("=")),
    );
    const known: Record<string, number> = {};
    const out: string[] = [];
    const solve = (operand: string): number => {
      if (/^\d+$/.test(operand)) return Number(operand);
      const found = known[operand];
      if (found !== undefined) return found;
      const right: string = equations[operand];
      out.push(`? ${operand}=${right}`);
      const sum = /^(..)([+-])(.+)$/.exec(right);
      let result = Number(right);
      if (sum) {
        const [, a = "", sign, b = ""] = sum;
        const [x, y] = [solve(a), solve(b)];
        result = (x + (sign === "+" ? y : 100 - y)) % 100;
        out.push(`${operand}=${right}=${x}${sign}${y}=${result}`);
      }
      known[operand] = result;
      return result;
    };
    const answer = String(solve(asked));
    return { reasoning: out.join("\n"), answer };
  },

  graph(problem) {
    const [, start = "", goal = ""] = /from (\d+) to (\d+)\./.exec(problem) ?? [];
    const edges: Record<string, string[]> = {};
    for (const line of problem.split("\n").slice(1)) {
      const [node = "", targets = ""] = line.split(": ");
      edges[node] = targets === "none" ? [] : targets.split(" ");
    }
    const out: string[] = [];
    const seen = new Set([start]);
    const explore = (node: string, path: readonly string[]): readonly string[] | undefined => {
      if (node === goal) return path;
      let parts: string[] = [];
      for (const target of edges[node] ?? []) {
        parts.push(`${target} ${seen.has(target) ? "seen" : "new"}`);
        if (seen.has(target)) continue;
        seen.add(target);
        out.push(`at ${node}: ${parts.join(", ")}`);
        parts = [];
        const found = explore(target, [...path, target]);
        if (found) return found;
      }
      out.push(`at ${node}: ${[...parts, `back to ${path.at(-2)}`].join(", ")}`);
      return undefined;
    };
    const path = explore(start, [start]) ?? [];
    const back = path.map((node, i) => `${node} from ${path[i - 1]}`).slice(1);
    return { reasoning: [...out, `at ${goal}: goal`, ...back.reverse()].join("\n"), answer: path.join(" ") };
  },
};

describe.each(names)("%s", (task) => {
  it("has the same reasoning and answer as an independent solver of the text", () => {
    for (const budget of [150, 500, 2000])
      for (const problem of draw(task, budget, budget, 100)) {
        const solved = solvers[task](problem.problem);
        expect(problem.reasoning).toBe(solved.reasoning);
        expect(problem.answer).toBe(solved.answer);
      }
  });

  it("is the same for the same seed and another for another", () => {
    expect(draw(task, 7, 500, 3)).toEqual(draw(task, 7, 500, 3));
    expect(draw(task, 7, 500, 3)).not.toEqual(draw(task, 8, 500, 3));
  });

  it("draws problems slightly below the requested length; a longer set starts with the shorter one", () => {
    const options = { totalTokens: 1024, seed: 1, tokenizer };
    const problems = makeProblems(task, { ...options, count: 24 });
    const lengths = problems.map((problem) => problem.promptTokens + problem.reasoningTokens);
    expect(Math.max(...lengths)).toBeLessThan(1024);
    expect(mean(lengths)).toBeGreaterThan(512);
    expect(makeProblems(task, { ...options, count: 8 })).toEqual(problems.slice(0, 8));
  });

  it("refuses a length below nearly all problems", () => {
    expect(() => makeProblems(task, { totalTokens: 20, count: 1, seed: 1, tokenizer })).toThrow(RangeError);
  });
});

/** Means over 2000 (budget 500) and 1000 (1500) problems of training/tasks.py, `random.Random(5)`, Python 3.11. */
const reference = [
  [
    "registers",
    500,
    { problemChars: 195.75, reasoningChars: 274.11, reasoningLines: 14.24, problemLines: 10.5 },
  ],
  [
    "registers",
    1500,
    { problemChars: 195.4, reasoningChars: 1356.28, reasoningLines: 68.61, problemLines: 10.48 },
  ],
  [
    "variables",
    500,
    { problemChars: 166.85, reasoningChars: 214.77, reasoningLines: 16.65, problemLines: 18.07 },
  ],
  [
    "variables",
    1500,
    { problemChars: 487.29, reasoningChars: 807.52, reasoningLines: 61.25, problemLines: 57.93 },
  ],
  ["graph", 500, { problemChars: 122.98, reasoningChars: 195.05, reasoningLines: 13.15, problemLines: 9.94 }],
  [
    "graph",
    1500,
    { problemChars: 340.01, reasoningChars: 753.25, reasoningLines: 46.87, problemLines: 32.3 },
  ],
] as const;

describe("the distribution of training/tasks.py", () => {
  it.each(reference)("%s at budget %i has its mean sizes within 4 %", (task, budget, means) => {
    const problems = draw(task, 11, budget, 2000);
    const lines = (text: string) => text.split("\n").length;
    const found = {
      problemChars: mean(problems.map(({ problem }) => problem.length)),
      reasoningChars: mean(problems.map(({ reasoning }) => reasoning.length)),
      reasoningLines: mean(problems.map(({ reasoning }) => lines(reasoning))),
      problemLines: mean(problems.map(({ problem }) => lines(problem))),
    };
    for (const [key, value] of Object.entries(found)) {
      const wanted = means[key as keyof typeof means];
      // the reference has a standard error of at most 1 % (graph: sd 215 of 753 over 1000)
      expect(Math.abs(value / wanted - 1), `${key}: ${value}, reference ${wanted}`).toBeLessThan(0.04);
    }
  });

  it("has the shares of line kinds within 0.015", () => {
    const shares = (task: TaskName, first: number, kinds: readonly RegExp[]) => {
      const lines = draw(task, 12, 1500, 1000).flatMap(({ problem }) => problem.split("\n").slice(first));
      return kinds.map((kind) => lines.filter((line) => kind.test(line)).length / lines.length);
    };
    const near = (found: readonly number[], wanted: readonly number[]) =>
      found.forEach((share, i) => {
        expect(Math.abs(share - (wanted[i] ?? Number.NaN)), `${share}, reference ${wanted[i]}`).toBeLessThan(
          0.015,
        );
      });
    near(shares("registers", 2, [/ if /, /: .=[a-z]$/, /[+-]\d+$/]), [0.152, 0.098, 0.287]);
    near(shares("variables", 1, [/^..=\d+$/, /[+-]\d+$/]), [0.327, 0.282]);
  });

  it("has the same numbers of repeated nodes, backtracks and dead ends in graphs, within 5 %", () => {
    const problems = draw("graph", 13, 1500, 2000);
    const count = (text: string, part: string) => text.split(part).length - 1;
    const found = [
      mean(problems.map(({ reasoning }) => count(reasoning, " seen") / count(reasoning, " new"))),
      mean(problems.map(({ reasoning }) => count(reasoning, "back to"))),
      mean(problems.map(({ problem }) => count(problem, "none"))),
    ];
    [0.283, 15.11, 6.3].forEach((wanted, i) => {
      expect(
        Math.abs((found[i] ?? Number.NaN) / wanted - 1),
        `${found[i]}, reference ${wanted}`,
      ).toBeLessThan(0.05);
    });
  });
});

it("the solvers and the chat text agree with the golden texts of the trained model", () => {
  const golden: { task: TaskName; prompt: string; answer: string; greedy_text: string }[] = readJson(
    new URL("../../test/golden/pico-reasoner.json", import.meta.url),
  );
  expect(golden.length).toBe(6);
  for (const { task, prompt, answer, greedy_text: text } of golden) {
    const problem = prompt.slice("<|im_start|>user\n".length, prompt.indexOf("<|im_end|>"));
    const solved = { problem, ...solvers[task](problem) };
    expect(chatText(solved)).toEqual({ prompt, completion: `${text}\n` });
    expect(solved.answer).toBe(answer);
    expect(isCorrect(solved, text)).toBe(true);
  }
});

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
