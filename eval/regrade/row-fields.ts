/** Fields by the names that programs give them. */
import { lastBox } from "../grading/boxes.ts";
import type { AnswerKind } from "../grading/index.ts";
import type { EarlierGrade } from "./given-response.ts";
import { isRecord } from "./read-rows.ts";

type Fields = Readonly<Record<string, unknown>>;

const NAMES = {
  response: [
    ...["response", "responses", "resps", "output", "outputs", "completion", "completions", "generation"],
    ...["generations", "generated_text", "model_output", "code", "text"],
  ],
  target: [
    ...["target", "answer", "gold", "gt", "ground_truth", "correct_answer", "reference_answer", "expected"],
  ],
  question: ["problem", "question", "prompt"],
  id: ["problemId", "problem_id", "id", "unique_id", "idx", "doc_id"],
  verdict: [
    ...["is_correct", "isCorrect", "correct", "is_correct_this_attempt", "score", "scores", "exact_match"],
    ...["math_verify", "acc", "accuracy"],
  ],
  extracted: [
    "extracted",
    "predicted_answer",
    "pred",
    "preds",
    "prediction",
    "filtered_resps",
    "extracted_answer",
  ],
} as const;

/** Names of a field's spellings, for messages. */
export function spellingsOf(field: keyof typeof NAMES): string {
  return NAMES[field].slice(0, 6).join(", ");
}

/** The first of a field's spellings that has a value. */
export function find(fields: Fields, field: keyof typeof NAMES): unknown {
  for (const name of NAMES[field]) {
    const value = fields[name];
    if (value !== undefined && value !== null) return value;
  }
  return undefined;
}

/** A text or number as text; undefined for anything else. */
export function textOf(value: unknown): string | undefined {
  if (typeof value === "string") return value;
  return typeof value === "number" || typeof value === "bigint" ? String(value) : undefined;
}

/** Texts of a text, a list, or a list of lists, as lm-evaluation-harness has responses; undefined if one is no text. */
export function textsOf(value: unknown): string[] | undefined {
  if (typeof value === "string") return [value];
  if (!Array.isArray(value)) return undefined;
  const texts = value.map((one: unknown) =>
    Array.isArray(one) ? textsOf(one) : typeof one === "string" ? [one] : undefined,
  );
  return texts.every((one) => one !== undefined) ? texts.flat() : undefined;
}

/**
 * The answer of a target that is a whole solution: what follows "####", as in GSM8K, or stands in the last box; of others the
 * target itself. A short answer that the row's document has comes first.
 */
export function answerOf(target: string, doc: unknown): string {
  const isSolution = target.includes("####") || /\\boxed\b/.test(target);
  if (!isSolution) return target;
  const given = isRecord(doc) ? textOf(doc.answer) : undefined;
  if (given !== undefined && given !== target && !given.includes("####") && !/\\boxed\b/.test(given))
    return given;
  const marked = /####\s*([^\n]+)\s*$/.exec(target)?.[1];
  return marked ?? lastBox(target)?.content ?? target;
}

/** The kind that a row names; a single letter is the option of a choice. */
export function kindOf(fields: Fields, target: string): AnswerKind | undefined {
  const named = fields.kind ?? fields.answerKind;
  if (named === "math" || named === "integer" || named === "choice" || named === "text") return named;
  return /^\(?[A-J]\)?$/.test(target.trim()) ? "choice" : undefined;
}

/** The verdict on the i-th of n responses: of one for all, if there is one response. */
export function earlierGrade(fields: Fields, i: number, count: number): EarlierGrade | undefined {
  const verdict = isCorrect(nth(find(fields, "verdict"), i, count));
  if (verdict === undefined) return undefined;
  const extracted = textOf(nth(find(fields, "extracted"), i, count));
  return { isCorrect: verdict, extracted: extracted ?? null, rule: textOf(fields.rule) ?? null };
}

function nth(value: unknown, i: number, count: number): unknown {
  if (Array.isArray(value)) return value.length === count ? value[i] : undefined;
  return count === 1 ? value : undefined;
}

function isCorrect(value: unknown): boolean | undefined {
  if (typeof value === "boolean") return value;
  return value === 0 || value === 1 ? value === 1 : undefined;
}
