/** Problems of published data sets and of files, with the paper's prompts. */
import type { DataProblem, LoadedData } from "../data/index.ts";
import type { ChatProblem, Task } from "./task.ts";

/** The paper's instruction, as SeerAttention's evaluation spells it; LessIsMore's has a backspace in place of the b of \boxed. */
const BOXED = "Please reason step by step, and put your final answer within \\boxed{}.";
const LETTER =
  "Please reason step by step, and put the letter of the right option within \\boxed{}, such as \\boxed{A}.";

export function dataTask(data: LoadedData): Task {
  const { name, problems, identity, notes, source } = data;
  return {
    ...{ name, notes, source },
    version: 1,
    settings: identity,
    kind: "chat",
    metric: "correct",
    defaultLengths: [],
    defaultAttempts: 1,
    problems: async ({ count = problems.length }) => problems.slice(0, count).map(chatProblem),
  };
}

function chatProblem({ id, problem, question, answer, answerKind, choices, doc }: DataProblem): ChatProblem {
  return {
    kind: "chat",
    id,
    messages: [{ role: "user", content: `${problem}\n${instructionOf(answerKind, choices)}`.trimEnd() }],
    question,
    target: answer,
    answerKind,
    doc: { ...doc, problem, answer, ...(choices !== undefined && { choices }) },
  };
}

/** A choice whose options stand in the question, as the reference's file has it, brings its own instruction. */
function instructionOf(kind: DataProblem["answerKind"], choices: DataProblem["choices"]): string {
  if (kind !== "choice") return BOXED;
  return choices === undefined ? "" : LETTER;
}
