/** Extraction as the published evaluation does it: in the whole response, reasoning and all. */
import { MAX_ANSWER_LENGTH } from "../notation.ts";
import { stripExtracted } from "./strip-string.ts";

/** The contents of all boxes; the closing brace stays if a percent sign follows it. */
function boxedAnswers(text: string): readonly string[] {
  const answers: string[] = [];
  for (const piece of text.split("boxed{").slice(1)) {
    let depth = 0;
    for (let i = 0; i < piece.length; i++) {
      if (piece[i] === "{") depth++;
      else if (piece[i] === "}") depth--;
      if (depth >= 0) continue;
      answers.push(piece.slice(0, piece[i + 1] === "%" ? i + 1 : i));
      break;
    }
  }
  return answers;
}

function programOutput(text: string): string {
  return (text.split("```output").at(-1)?.split("```", 1)[0] ?? "").trim();
}

function candidates(text: string): { found: readonly string[]; rule: string } {
  const start = text.indexOf("final answer is $");
  if (start >= 0 && text.includes("$. I hope")) {
    const rest = text.slice(start + "final answer is $".length);
    return { found: [(rest.split("$. I hope", 1)[0] ?? "").trim()], rule: "final answer is" };
  }
  if (text.includes("boxed")) return { found: boxedAnswers(text), rule: "boxed" };
  if (text.includes("he answer is"))
    return { found: [(text.split("he answer is").at(-1) ?? "").trim()], rule: "answer is" };
  const output = text.includes("```output") ? programOutput(text) : "";
  if (output !== "") return { found: [output], rule: "program output" };
  const last = text
    .replaceAll(",", "")
    .match(/-?\d*\.?\d+/g)
    ?.at(-1);
  return last === undefined ? { found: [], rule: "none" } : { found: [last], rule: "last number" };
}

/**
 * The answer that the published evaluation grades: the last of the candidates that its extraction returns, "" if there is none.
 * problem: its text decides whether an answer is split at commas.
 */
export function extractLikeReference(problem: string, response: string): { answer: string; rule: string } {
  const { found, rule } = candidates(response);
  const last = found.at(-1);
  if (last === undefined) return { answer: "", rule };
  const line = (last.trim().split("\n", 1)[0] ?? "")
    .replace(/^:+/, "")
    .replace(/\.+$/, "")
    .replace(/\/+$/, "");
  const answer = line.length > MAX_ANSWER_LENGTH ? line : stripExtracted(line);
  if (problem.includes("separated by commas") && !/[()[\]]/.test(answer)) {
    return { answer: (answer.split(",").at(-1) ?? "").trim(), rule };
  }
  return { answer: (answer.split(/\\text\{\s*and\s*\}/).at(-1) ?? "").trim(), rule };
}
