/** Rows of `samples_*.jsonl`: one a problem, its attempts as repeats. */
import { createHash } from "node:crypto";
import type { Attempt } from "../attempts/attempt.ts";
import type { ProblemRecord } from "../attempts/problem-file.ts";

/** As lm-evaluation-harness writes it (`evaluate` of its evaluator.py), with the attempts' own fields beside. */
export interface SampleRow {
  readonly doc_id: number;
  readonly doc: Readonly<Record<string, unknown>>;
  readonly target: string;
  readonly arguments: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  /** One request; a response for each attempt. */
  readonly resps: readonly (readonly string[])[];
  readonly filtered_resps: readonly string[];
  readonly filter: string;
  readonly metrics: readonly string[];
  readonly doc_hash: string;
  readonly prompt_hash: string;
  readonly target_hash: string;
  readonly [metric: string]: unknown;
}

/** rows: the attempts at one problem under one method, in order; at least one */
export function sampleRow(problem: ProblemRecord, rows: readonly [Attempt, ...Attempt[]]): SampleRow {
  const { metric, problemId } = rows[0];
  const name = metric === "correct" ? "exact_match" : "loss";
  const prompt = JSON.stringify(problem.messages ?? problem.doc);
  return {
    doc_id: problem.index,
    doc: { id: problemId, ...problem.doc },
    target: problem.target,
    arguments: { gen_args_0: { arg_0: prompt, arg_1: { seeds: rows.map(({ seed }) => seed) } } },
    resps: [rows.map(({ response }) => response)],
    filtered_resps: rows.map(({ extracted }) => extracted ?? ""),
    filter: "none",
    metrics: [name],
    doc_hash: sha256(JSON.stringify(problem.doc, null, 2)),
    prompt_hash: sha256(prompt),
    target_hash: sha256(problem.target),
    [name]: rows.reduce((sum, { score }) => sum + score, 0) / rows.length,
    attempts: rows.map(({ response: _, settingsHash: __, task: ___, attention: ____, ...rest }) => rest),
  };
}

export function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
