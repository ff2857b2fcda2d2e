/** Equivalence of two answers: the default of grading, without leniencies. */
import { readChoice } from "./choice.ts";
import { compareAnswers } from "./compare-answers.ts";
import { MAX_ANSWER_LENGTH } from "./notation.ts";
import { parseAnswer } from "./parse-answer.ts";
import { numberInWords, withoutGroups } from "./rewrite.ts";
import { plainText } from "./text.ts";
import { Work } from "./work.ts";

/**
 * What a target is, which decides how answers are compared with it.
 * math: LaTeX or plain mathematics, or words. integer: a whole number, as AIME's answers. choice: a letter. text: words alone.
 */
export type AnswerKind = "math" | "integer" | "choice" | "text";

/**
 * True if `answer` says the same as `target`. Never throws; the work of a call is limited by counting, so that the verdict
 * does not depend on the machine. Texts of more than 4,000 characters are equal only if they are the same.
 *
 * Equal are: the same number in another form (fractions, decimals that are exact or round to at least 6 places, powers, roots,
 * mixed numbers, groups of digits, scientific notation), expressions that are the same function, sets and lists in any order,
 * tuples in the same order, intervals and unions with the same ends, inequalities and the intervals they describe, equations that
 * are multiples of each other, matrices cell by cell. A unit may be left out; another unit is another answer.
 */
export function isEquivalent(answer: string, target: string, kind: AnswerKind = "math"): boolean {
  const [found, wanted] = [answer.trim(), target.trim()];
  if (found === "" || wanted === "") return false;
  if (found === wanted) return true;
  if (found.length > MAX_ANSWER_LENGTH || wanted.length > MAX_ANSWER_LENGTH) return false;
  switch (kind) {
    case "choice":
      return readChoice(found) !== null && readChoice(found) === readChoice(wanted);
    case "text":
      return plainText(found) === plainText(wanted);
    default:
      return isSameMathematics(found, wanted);
  }
}

/** A target that is a letter in brackets is a choice, whatever the kind says. */
function isSameMathematics(found: string, wanted: string): boolean {
  const letter = /^[\s{$]*\\text(?:bf)?\{\s*\(?[A-J]\)?\s*\}[\s}$]*$|^\(?[A-J]\)$/.test(wanted)
    ? readChoice(wanted)
    : null;
  if (letter !== null) return readChoice(found) === letter;
  if (/^[A-J]$/.test(wanted) && found.includes(wanted) && readChoice(found) === wanted) return true;
  const work = new Work();
  for (const target of readings(wanted, false)) {
    if (target.kind === "text" && plainText(found) === plainText(wanted)) return true;
    for (const answer of readings(found, true)) if (compareAnswers(target, answer, work)) return true;
  }
  return isUnread(wanted) && withoutBlanks(found) === withoutBlanks(wanted);
}

/** "1,234" is a number and, if that does not fit, a list; 3e-4 is 0.0003 if it is an answer, and 3e - 4. */
function readings(text: string, isAnswer: boolean) {
  const bare = withoutLead(text);
  const asNumber = parseAnswer(bare, { commasGroupDigits: true });
  const asList = /\d,\d{3}/.test(bare) ? parseAnswer(bare, { commasGroupDigits: false }) : undefined;
  const digits = isAnswer ? (withoutGroups(bare) ?? numberInWords(bare)) : undefined;
  const spelled = digits === undefined ? undefined : parseAnswer(digits, { commasGroupDigits: true });
  return [asNumber, asList, scientific(bare, isAnswer), spelled].filter((reading) => reading !== undefined);
}

/** A number as programs print it; a target counts as one only if it cannot be the constant e. */
function scientific(text: string, isAnswer: boolean) {
  const pattern = isAnswer
    ? /^\$?([-+]?\d+(?:\.\d+)?)e([-+]?\d{1,4})\$?$/i
    : /^([-+]?\d+(?:\.\d+)?)E([-+]?\d{1,4})$/;
  const [, digits, exponent] = pattern.exec(text) ?? [];
  if (digits === undefined || exponent === undefined) return undefined;
  return parseAnswer(`${digits}*10^{${exponent}}`, { commasGroupDigits: true });
}

const LEAD = /^(?:the )?(?:final |correct )?answer(?: is)?\s*:?\s*/i;
const TEXT_LEAD =
  /^(\\(?:text|textbf|mathrm|mbox)\s*\{)\s*(?:the )?(?:final |correct )?answer(?: is)?\s*:?\s*(\})?/i;

/** "The answer is 3" says 3. */
function withoutLead(text: string): string {
  return (
    text.replace(LEAD, "").replace(TEXT_LEAD, (_, open: string, close?: string) => (close ? "" : open)) ||
    text
  );
}

function isUnread(text: string): boolean {
  return readings(text, false).length === 0;
}

function withoutBlanks(text: string): string {
  return text.replace(/\s+/g, "");
}
