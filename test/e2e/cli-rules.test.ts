/** Options of `lessismore generate` that rule the reasoning, the tokens and the form of the answer. */
import { readFileSync } from "node:fs";
import { afterAll, describe, expect, it } from "vitest";
import { golden, problem, run, TestFolder } from "./command-line.ts";

const folder = new TestFolder();
afterAll(() => folder.remove());

const greedy = [
  "generate",
  "--temperature",
  "0",
  "--attention",
  "full",
  "--backend",
  "wasm",
  "--threads",
  "1",
];

/** The object that --json prints. */
function json(...args: string[]) {
  const { status, stdout, stderr } = run([...greedy, "--json", ...args]);
  if (status !== 0) throw new Error(`exit code ${status}: ${stderr}`);
  return JSON.parse(stdout);
}

const [reasoning = "", answer = ""] = golden.greedy_text.replace("<|im_end|>", "").split("\n</think>\n\n");
const [end = 0] = golden.greedy_ids.slice(-1);

describe("generate", () => {
  it("ends the reasoning at a budget, and says so", () => {
    const cut = json("--thinking-budget", "5", "--max-tokens", "20", problem);
    expect(cut.thinking).toEqual({ isCut: true, tokens: 5 });
    expect(reasoning.startsWith(cut.reasoning)).toBe(true);
    expect(cut.text).toContain("</think>");
    const { stderr } = run([...greedy, "--thinking-budget", "5", "--max-tokens", "20", problem]);
    expect(stderr).toMatch(/\((stop|length), reasoning ended by its budget\)/);
    expect(json("--max-tokens", "2", problem)).not.toHaveProperty("thinking");
  });

  it("takes efforts for budgets; none also asks the template for no reasoning", () => {
    const low = json("--reasoning-effort", "low", problem);
    expect([low.thinking.isCut, low.answer]).toEqual([false, answer]);
    const none = json("--reasoning-effort", "none", "--max-tokens", "8", problem);
    expect([none.thinking, none.reasoning]).toEqual([{ isCut: true, tokens: 0 }, ""]);
    // the bundled model's template has no such variable, which a note says
    expect(none.notes).toContainEqual(expect.stringContaining("the same prompt without enable_thinking"));
    expect(json("--reasoning-effort", "none", "--raw", "--max-tokens", "3", "a").notes).toEqual([]);
  });

  it("keeps the markers of the text if they are asked for", () => {
    const { stdout } = run([...greedy, "--keep-markers", problem]);
    expect(stdout).toBe(`${reasoning}\n</think>\n\n${answer}\n`);
  });

  it("rules the tokens: stops, biases, penalties, a minimum", () => {
    const [first = 0, second = 0] = golden.greedy_ids;
    expect(json("--stop-token-id", String(second), problem).tokenIds).toEqual([first, second]);
    const never = json("--logit-bias", `${first}=-100`, "--max-tokens", "20", problem);
    expect(never.tokenIds).not.toContain(first);
    const always = json("--logit-bias", `${second}=100`, "--max-tokens", "4", problem);
    expect(always.tokenIds).toEqual([second, second, second, second]);
    // it is certain of its problems, and of no other text
    const distinct = (...args: string[]) =>
      new Set(json(...args, "--raw", "--max-tokens", "30", "a b a b").tokenIds).size;
    expect(distinct("--frequency-penalty", "2")).toBeGreaterThan(distinct());
    expect(distinct("--presence-penalty", "2")).toBeGreaterThan(distinct("--presence-penalty", "-2"));
    expect(distinct("--frequency-penalty=-2")).toBeLessThan(distinct("--frequency-penalty=1e0"));
    const { length } = golden.greedy_ids;
    const longer = json("--min-tokens", String(length + 5), "--max-tokens", String(length + 5), problem);
    expect(longer.tokenIds.slice(0, length - 1)).toEqual(golden.greedy_ids.slice(0, -1));
    expect(longer.tokenIds).not.toContain(end);
    expect(longer.completionTokens).toBe(length + 5);
  });

  it("rules the form of the answer", () => {
    const short = ["--thinking-budget", "0", "--max-tokens", "60"];
    const schema = folder.file(
      "schema.json",
      '{"type":"object","properties":{"n":{"type":"integer","maximum":9,"minimum":0}},"required":["n"],"additionalProperties":false}',
    );
    for (const given of [schema, readFileSync(schema, "utf8")])
      expect(JSON.parse(json(...short, "--json-schema", given, problem).answer)).toEqual({
        n: expect.any(Number),
      });
    expect(json(...short, "--regex", "[0-9]{3}", problem).answer).toMatch(/^\d{3}$/);
    expect(["left", "right"]).toContain(
      json(...short, "--choice", "left", "--choice", "right", problem).answer,
    );
    expect(json(...short, "--json-object", "--max-tokens", "40", problem).answer).toMatch(/^\{/);
  });

  it("gives the probabilities of tokens in the JSON object", () => {
    const { logprobs, tokenIds } = json("--logprobs", "2", "--max-tokens", "3", problem);
    expect(logprobs.map(({ id }: { id: number }) => id)).toEqual(tokenIds);
    for (const { logprob, top } of logprobs) expect([top.length, top[0].logprob]).toEqual([2, logprob]);
  });

  it.each([
    ["a budget and an effort", ["--thinking-budget", "5", "--reasoning-effort", "low"], "give one"],
    ["an unknown effort", ["--reasoning-effort", "lots"], "none, minimal, low"],
    ["half a token", ["--thinking-budget", "0.5"], "whole number"],
    ["two forms", ["--regex", "a", "--choice", "b"], "--regex and --choice all say what the answer is"],
    ["a penalty above 2", ["--presence-penalty", "3"], "from -2 to 2"],
    ["a bias that is no number", ["--logit-bias", "5=x"], "from -100 to 100"],
    ["a bias of no token", ["--logit-bias", "a=1"], "whole number"],
    ["a token's bias twice", ["--logit-bias", "5=1", "--logit-bias", "5=2"], "given twice"],
    ["probabilities without JSON", ["--logprobs", "2"], "--logprobs is for --json"],
    ["too many probabilities", ["--json", "--logprobs", "21"], "at most 20"],
    [
      "a schema and a prompt of standard input",
      ["--prompt-file", "-", "--json-schema", "-"],
      "name a file for one",
    ],
  ])("refuses %s with exit code 2", (_, args, reason) => {
    const prompt = args.includes("--prompt-file") ? [] : ["x"];
    const { status, stderr, stdout } = run([...greedy, ...args, ...prompt]);
    expect([status, stdout]).toEqual([2, ""]);
    expect(stderr).toContain(reason);
  });

  it("says what is wrong with a schema or a pattern", () => {
    const list = folder.file("list.json", "[1]");
    expect(run([...greedy, "--json-schema", '{"type": }', "x"])).toMatchObject({
      status: 2,
      stderr: expect.stringMatching(/--json-schema: expected JSON or the name of a file; SyntaxError/),
    });
    expect(run([...greedy, "--json-schema", list, "x"])).toMatchObject({
      status: 1,
      stderr: expect.stringContaining("expected a JSON schema"),
    });
    const unkept = folder.file("unkept.json", '{"type":"array","uniqueItems":true}');
    expect(run([...greedy, "--json-schema", unkept, "x"])).toMatchObject({
      status: 1,
      stderr: expect.stringContaining("uniqueItems"),
    });
    expect(run([...greedy, "--regex", "(", "x"]).status).toBe(1);
  });
});
