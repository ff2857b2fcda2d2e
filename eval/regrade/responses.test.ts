import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { GivenResponse } from "./given-response.ts";
import { endsWithoutStart, type Regrading, regrade } from "./regrade.ts";
import { readResponses } from "./responses.ts";

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "lessismore-regrade-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

async function read(name: string, content: string) {
  const path = join(folder, name);
  writeFileSync(path, content);
  const skipped = { forced: 0, replaced: 0, repeated: 0 };
  const given: GivenResponse[] = [];
  for await (const one of readResponses(path, undefined, skipped)) given.push(one);
  return { given, skipped };
}
const lines = (...rows: readonly object[]) => rows.map((row) => JSON.stringify(row)).join("\n");

describe("responses are read from", () => {
  it("samples of lm-evaluation-harness: repeats, a row a filter, the document's answer and the verdict", async () => {
    const sample = {
      ...{ doc_id: 3, doc: { unique_id: "algebra/7", problem: "1+1?", answer: "2", solution: "\\boxed{2}" } },
      ...{ target: "It is \\boxed{2}.", arguments: {}, resps: [["so \\boxed{2}", "so \\boxed{3}"]] },
      ...{ filtered_resps: ["2", "3"], filter: "strict-match", metrics: ["exact_match"], exact_match: 1 },
    };
    const name = "samples_minerva_math_algebra_2026-01-02T03-04-05.678901.jsonl";
    const { given, skipped } = await read(name, lines(sample, { ...sample, filter: "flexible-extract" }));
    expect(skipped.repeated).toBe(2);
    expect(
      given.map(({ task, problemId, attempt, response, target }) => [
        task,
        problemId,
        attempt,
        response,
        target,
      ]),
    ).toEqual([
      ["minerva_math_algebra", "algebra/7", 0, "so \\boxed{2}", "2"],
      ["minerva_math_algebra", "algebra/7", 1, "so \\boxed{3}", "2"],
    ]);
    expect(given[0]).toMatchObject({ question: "1+1?" });
    expect(given[0]?.before).toBeUndefined(); // one verdict, two responses
    const [single] = (
      await read(name, lines({ ...sample, resps: [["\\boxed{3}"]], filtered_resps: ["3"], exact_match: 0 }))
    ).given;
    expect(single?.before).toEqual({ isCorrect: false, extracted: "3", rule: null });
  });

  it("lines with other names, numbers as answers, and lists of responses with their verdicts", async () => {
    const { given } = await read(
      "mine.jsonl",
      lines(
        {
          idx: 5,
          question: "?",
          gt: 204,
          code: ["\\boxed{204}", "\\boxed{1}"],
          pred: ["204", "1"],
          score: [true, false],
        },
        { completion: "B", gold: "(B)", model: "ours" },
        { response: "x", answer: "steps\n#### 72" },
      ),
    );
    expect(given.map(({ problemId, target, before }) => [problemId, target, before?.isCorrect])).toEqual([
      ["5", "204", true],
      ["5", "204", false],
      ["line 2", "(B)", undefined],
      ["line 3", "72", undefined],
    ]);
    expect(given.map(({ attention, kind }) => [attention, kind])).toEqual([
      ...[
        ["as given", undefined],
        ["as given", undefined],
      ],
      ...[
        ["ours", "choice"],
        ["as given", undefined],
      ],
    ]);
  });

  it("LessIsMore's own results, an object of attempts", async () => {
    const row = {
      problem: "?",
      response: "\\boxed{5}",
      predicted_answer: "5",
      correct_answer: 5,
      is_correct_this_attempt: true,
    };
    const { given } = await read(
      "aime_lim__topk2048.json",
      JSON.stringify({ attempt_1: { 60: row }, attempt_2: { 60: row } }),
    );
    expect(
      given.map(({ problemId, attempt, target, before }) => [problemId, attempt, target, before]),
    ).toEqual([0, 1].map((attempt) => ["60", attempt, "5", { isCorrect: true, extracted: "5", rule: null }]));
  });

  it.each([
    [
      "a.jsonl",
      '{"response":"x","answer":"1"}\n{"answer":"1"}',
      /a\.jsonl: line 2 has no response; expected .* in one of response, .*it has answer/,
    ],
    ["a.jsonl", '{"response":"x"}', /line 1 has no right answer; expected .* in one of target, answer/],
    ["a.jsonl", '{"resps":[[[-1.5,false]]],"target":"1"}', /line 1 has no response/],
    ["a.jsonl", '{"response":"x","answer":"1"}\n{"resp', /line 2 is no JSON/],
    ["a.jsonl", "[1]", /line 1 is no JSON object with fields/],
    ["a.json", '{"results":{}}', /expected a list of rows, or an object of attempts .*found "results"/],
    ["a.json", "[1]", /row 1 has no response/],
  ])("%s unless it holds %s", async (name, content, message) => {
    await expect(read(name, content)).rejects.toThrow(message);
  });

  it("no file that is not there", async () => {
    const reading = readResponses(join(folder, "none.jsonl"), undefined, {
      forced: 0,
      replaced: 0,
      repeated: 0,
    }).next();
    await expect(reading).rejects.toThrow(/none\.jsonl: ENOENT/);
  });
});

describe("a response is graded again", () => {
  const given = (response: string, more: Partial<GivenResponse> = {}): GivenResponse => ({
    ...{ task: "t", attention: "a", problemId: "p", attempt: 0, seed: 0, settingsHash: "", row: {} },
    ...{ response, target: "7", ...more },
  });
  const strict: Regrading = { grader: "strict", beginsInReasoning: false };

  it("after its reasoning alone, by the marks that it has or by the length of its answer", () => {
    expect(regrade(given("<think>\\boxed{7}</think> \\boxed{8}"), strict)).toMatchObject({
      isCorrect: false,
      extracted: "8",
    });
    expect(regrade(given("[[\\boxed{7}]] \\boxed{8}", { answerChars: 9 }), strict)).toMatchObject({
      extracted: "8",
    });
    expect(
      regrade(
        given("\\boxed{7} and so on", {
          answerChars: 0,
          usage: { promptTokens: 1, completionTokens: 9, finishReason: "length" },
        }),
        strict,
      ),
    ).toMatchObject({ isCorrect: false, extracted: null, rule: "unfinished reasoning" });
  });

  it("and has no answer without an end of the reasoning that its prompt opened", () => {
    expect(regrade(given("thus \\boxed{7}"), strict).isCorrect).toBe(true);
    const opened = { ...strict, beginsInReasoning: true };
    expect(regrade(given("thus \\boxed{7}"), opened)).toMatchObject({
      isCorrect: false,
      rule: "unfinished reasoning",
    });
    expect(regrade(given("thus</think>\\boxed{7}"), opened).isCorrect).toBe(true);
    expect(["a</think>b", "<think>a</think>b", "b", "a</think><think>"].map(endsWithoutStart)).toEqual([
      true,
      false,
      false,
      true,
    ]);
  });

  it("by the reference's leniencies if they are asked for, reasoning and percent among them", () => {
    const reference: Regrading = { grader: "reference", beginsInReasoning: false };
    expect(regrade(given("so it may be 700"), reference)).toMatchObject({
      isCorrect: true,
      rule: "last number",
    });
    expect(regrade(given("so it may be 700"), strict)).toMatchObject({ isCorrect: false, rule: "none" });
  });

  it("as the kind that the command or the file says", () => {
    const answer = given("\\boxed{0.5}", { target: "1/2" });
    expect(regrade(answer, strict)).toMatchObject({ isCorrect: true, kind: "math" });
    expect(regrade({ ...answer, kind: "text" }, strict)).toMatchObject({ isCorrect: false, kind: "text" });
    expect(regrade(answer, { ...strict, kind: "text" })).toMatchObject({ isCorrect: false, kind: "text" });
  });
});
