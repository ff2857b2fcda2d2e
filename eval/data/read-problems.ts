import { ModelFileError } from "../../src/node/index.ts";
import type { AnswerKind } from "../tasks/task.ts";
import type { DataRecord } from "./data-record.ts";
import { letterOf, shuffleChoices } from "./shuffle-choices.ts";

/** A problem of a data set. */
export interface DataProblem {
  /** Unique in its data set. */
  readonly id: string;
  /** What is asked, the options of a choice included. */
  readonly problem: string;
  /** The question without its options. */
  readonly question: string;
  /** The right answer; the letter of the right option. */
  readonly answer: string;
  readonly answerKind: AnswerKind;
  /** Options in the order of their letters; of choices alone. */
  readonly choices?: readonly string[];
  /** The row as its source has it, texts and numbers alone. */
  readonly doc: Readonly<Record<string, unknown>>;
}

export interface ReadProblemsOptions {
  /** Names the file in messages. */
  readonly name: string;
  readonly answerKind: AnswerKind;
  /** Decides the order of options. */
  readonly seed: number;
}

const PROBLEM = ["problem", "question", "prompt"];
const ANSWER = ["answer", "target", "correct answer"];
const ID = ["id", "unique_id", "record id", "problem_idx"];
const WRONG = ["incorrect answer 1", "incorrect answer 2", "incorrect answer 3"];
const MAX_TEXT = 1 << 20;
/** Fields by which readers may look up a problem later; long solutions stay out of the results. */
const LEFT_OUT = /^(solution|explanation|canary string)$/i;

/**
 * Reads problems from rows. An id that comes again gets "#2" and so on, so that no row is lost; `notes` says so.
 * @throws ModelFileError naming the row whose fields are missing or unusable
 */
export function readProblems(
  records: readonly DataRecord[],
  options: ReadProblemsOptions,
): { readonly problems: readonly DataProblem[]; readonly notes: readonly string[] } {
  const seen = new Map<string, number>();
  const texts = new Map<string, string>();
  const [repeatedIds, repeatedTexts]: [string[], string[]] = [[], []];
  const problems = records.map((record, index) => {
    const row = new Row(record, options.name);
    const given = row.optional(ID) ?? String(index);
    const count = (seen.get(given) ?? 0) + 1;
    seen.set(given, count);
    if (count > 1) repeatedIds.push(given);
    const problem = readProblem(row, count > 1 ? `${given}#${count}` : given, options);
    const first = texts.get(problem.question);
    if (first === undefined) texts.set(problem.question, record.place);
    else repeatedTexts.push(`${record.place} (${first})`);
    return problem;
  });
  return { problems: unique(problems), notes: describeRepeats(options.name, repeatedIds, repeatedTexts) };
}

function readProblem(row: Row, id: string, { answerKind, seed }: ReadProblemsOptions): DataProblem {
  const question = row.required(PROBLEM);
  const doc = row.doc();
  if (row.optional(WRONG.slice(0, 1)) === undefined) {
    const answer = row.required(ANSWER);
    const kind = answerKind === "choice" && !/^\(?[A-Z]\)?$/.test(answer) ? "text" : answerKind;
    return { id, problem: question, question, answer: normalAnswer(answer, kind), answerKind: kind, doc };
  }
  const right = row.required(["correct answer"]);
  const { choices, rightIndex } = shuffleChoices([right, ...WRONG.map((name) => row.required([name]))], {
    seed,
    id,
  });
  const listed = choices.map((choice, index) => `${letterOf(index)}) ${choice}`);
  return {
    ...{ id, question, choices, doc },
    problem: `${question}\n\n${listed.join("\n")}`,
    answer: letterOf(rightIndex),
    answerKind: "choice",
  };
}

/** Answers of AIME are published as "033" and as 33. */
function normalAnswer(answer: string, kind: AnswerKind): string {
  if (kind === "integer" && /^\d{1,15}$/.test(answer)) return String(Number(answer));
  if (kind === "choice") return answer.replace(/[()]/g, "");
  return answer;
}

/** An id with a suffix may be the id of another row. */
function unique(problems: readonly DataProblem[]): readonly DataProblem[] {
  const ids = new Set<string>();
  return problems.map((problem) => {
    let id = problem.id;
    while (ids.has(id)) id = `${id}'`;
    ids.add(id);
    return id === problem.id ? problem : { ...problem, id };
  });
}

function describeRepeats(name: string, ids: readonly string[], texts: readonly string[]): readonly string[] {
  const notes: string[] = [];
  if (ids.length > 0)
    notes.push(
      `${name}: ${ids.length} ids come again (such as ${JSON.stringify(ids[0])}); the later rows are told apart by #2`,
    );
  if (texts.length > 0)
    notes.push(`${name}: ${texts.length} problems come again, such as ${texts[0]}; each counts as one more`);
  return notes;
}

function kindOf(value: unknown): string {
  if (Array.isArray(value)) return "a list";
  return typeof value === "object" ? "an object" : String(value);
}

/** Fields of one row, by names in any case. */
class Row {
  readonly #record: DataRecord;
  readonly #name: string;
  readonly #byName: ReadonlyMap<string, unknown>;

  constructor(record: DataRecord, name: string) {
    this.#record = record;
    this.#name = name;
    // The first of two names that differ in case counts.
    this.#byName = new Map(
      Object.entries(record.fields)
        .reverse()
        .map(([key, value]) => [key.trim().toLowerCase(), value]),
    );
  }

  /** The first of the named fields that is there; undefined if none is, or it is empty. */
  optional(names: readonly string[]): string | undefined {
    for (const name of names) {
      const value = this.#byName.get(name);
      if (value === undefined || value === null) continue;
      const text = this.#text(name, value);
      if (text !== "") return text;
    }
    return undefined;
  }

  required(names: readonly string[]): string {
    const text = this.optional(names);
    if (text !== undefined) return text;
    const has = Object.keys(this.#record.fields).slice(0, 20).join(", ");
    throw new ModelFileError(
      `reading ${this.#name}, ${this.#record.place}: expected ${names.map((name) => `"${name}"`).join(" or ")} with a text ` +
        `or number in it; the row has ${has === "" ? "no fields" : has.slice(0, 400)}`,
    );
  }

  /** Short texts and numbers of the row, which results carry. */
  doc(): Readonly<Record<string, unknown>> {
    return Object.fromEntries(
      Object.entries(this.#record.fields).filter(
        ([name, value]) =>
          !LEFT_OUT.test(name) &&
          name !== "__proto__" &&
          (typeof value === "string" || typeof value === "number" || typeof value === "boolean") &&
          String(value).length <= 16_384,
      ),
    );
  }

  #text(name: string, value: unknown): string {
    if (typeof value === "string" && value.length <= MAX_TEXT) return value.trim();
    if (typeof value === "number" && Number.isFinite(value)) return String(value);
    const got = typeof value === "string" ? `a text of ${value.length} characters` : kindOf(value);
    throw new ModelFileError(
      `reading ${this.#name}, ${this.#record.place}: "${name}" holds ${got}; expected a number or a text of at most ${MAX_TEXT} characters`,
    );
  }
}
