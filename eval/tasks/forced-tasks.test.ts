import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { createTokenizer } from "../../src/load/tokenizer.ts";
import { Random } from "../problems/random.ts";
import { needleTask } from "./needle.ts";
import { perplexityTask } from "./perplexity.ts";
import { paragraph } from "./prose.ts";
import type { ForcedProblem, Task } from "./task.ts";
import { openText } from "./text-source.ts";

const MODEL = new URL("../../models/pico-reasoner/", import.meta.url);
const json = (name: string) => JSON.parse(readFileSync(new URL(name, MODEL), "utf8"));
const tokenizer = createTokenizer(json("tokenizer.json"), json("tokenizer_config.json"), "tokenizer.json");
const folder = mkdtempSync(join(tmpdir(), "lessismore-text-"));
afterAll(() => rmSync(folder, { recursive: true }));

async function problemsOf(task: Task, count: number, length: number): Promise<readonly ForcedProblem[]> {
  const problems = await task.problems({ count, length, seed: 1, tokenizer });
  return problems.filter((problem) => problem.kind === "forced");
}

describe("prose", () => {
  it("is the same for a seed, has no digit, and repeats no paragraph of the first 2000", () => {
    const draw = (seed: number) => {
      const random = new Random(seed);
      return Array.from({ length: 2000 }, () => paragraph(random));
    };
    const text = draw(5);
    expect(text).toEqual(draw(5));
    expect(text).not.toEqual(draw(6));
    expect(text.join("")).not.toMatch(/\d|undefined/);
    expect(new Set(text).size).toBe(2000);
  });
});

describe("needle", () => {
  it("has the fact at each depth, the question and the answer at the end, and the length asked for", async () => {
    const problems = await problemsOf(needleTask("question", await openText(undefined, 1)), 20, 1500);
    expect(problems).toHaveLength(20);
    for (const [i, { tokenIds, from, countFrom, target, doc }] of problems.entries()) {
      expect(tokenIds).toHaveLength(1500);
      const context = tokenizer.decode(tokenIds.slice(0, from));
      const fact = `The special magic ${doc.city} number is: ${target}.`;
      expect(context.split(fact)).toHaveLength(2);
      // At a sentence's end, at most 120 tokens before its depth.
      expect(context.slice(0, context.indexOf(fact))).toMatch(/(^|[.]\s*) $/);
      const depth = (i % 10) / 9;
      const before = Number(doc.needleAt) / (tokenIds.length - 130);
      expect(before).toBeLessThanOrEqual(depth * 1.1 + 0.01);
      expect(before).toBeGreaterThan(depth * 0.8 - 0.12);
      expect(tokenizer.decode(tokenIds.slice(from, countFrom))).toMatch(/^\n\nQuestion: .* number is:$/s);
      expect(tokenizer.decode(tokenIds.slice(countFrom))).toBe(` ${target}`);
    }
    expect(new Set(problems.map(({ target }) => target)).size).toBe(2);
  });

  it("forces the same tokens as question, as context and as prompt, from another place on", async () => {
    const text = await openText(undefined, 1);
    const [question, context, prompt] = await Promise.all(
      (["question", "context", "prompt"] as const).map((feed) => problemsOf(needleTask(feed, text), 3, 600)),
    );
    for (const [i, one] of question?.entries() ?? []) {
      expect(context?.[i]?.tokenIds).toEqual(one.tokenIds);
      expect(prompt?.[i]?.tokenIds).toEqual(one.tokenIds);
      expect(context?.[i]?.from).toBe(1);
      expect(prompt?.[i]?.from).toBe(one.countFrom);
      expect(context?.[i]?.id).toBe(one.id);
    }
  });

  it("starts a longer list with the shorter one, and refuses a length without room", async () => {
    const task = needleTask("question", await openText(undefined, 1));
    expect(await problemsOf(task, 3, 800)).toEqual((await problemsOf(task, 13, 800)).slice(0, 3));
    await expect(problemsOf(task, 1, 64)).rejects.toThrow(/too short/);
  });
});

describe("perplexity", () => {
  it("covers a file once, window by window, and forces the second half of each", async () => {
    const path = join(folder, "text.txt");
    const random = new Random(9);
    const text = Array.from({ length: 60 }, () => paragraph(random)).join("\r\n\r\n");
    writeFileSync(path, text);
    const task = perplexityTask(await openText(path, 1));
    const problems = await problemsOf(task, 1000, 512);
    const all = problems.flatMap(({ tokenIds }) => tokenIds);
    const plain = text.replaceAll("\r\n", "\n");
    expect(plain.startsWith(tokenizer.decode(all))).toBe(true);
    expect(tokenizer.decode(all).length).toBeGreaterThan(plain.length * 0.95);
    for (const { tokenIds, from, countFrom } of problems)
      expect([tokenIds.length, from, countFrom]).toEqual([512, 256, 256]);
    expect(await problemsOf(task, 2, 512)).toEqual(problems.slice(0, 2));
  });

  it("starts a longer list of prose with the shorter one", async () => {
    const task = perplexityTask(await openText(undefined, 1), { forcedTokens: 10 });
    const problems = await problemsOf(task, 12, 900);
    expect(await problemsOf(task, 2, 900)).toEqual(problems.slice(0, 2));
    expect(problems.map(({ from }) => from)).toEqual(problems.map(() => 890));
  });

  it("refuses a missing file, a short text, and more forced tokens than there are", async () => {
    await expect(openText(join(folder, "none.txt"), 1)).rejects.toThrow(/cannot read/);
    const path = join(folder, "short.txt");
    writeFileSync(path, "One short sentence.");
    await expect(problemsOf(perplexityTask(await openText(path, 1)), 1, 512)).rejects.toThrow(
      /fewer than the length/,
    );
    const task = perplexityTask(await openText(undefined, 1), { forcedTokens: 512 });
    await expect(problemsOf(task, 1, 512)).rejects.toThrow(/do not fit/);
  });
});
