/** Letters of multiple choice. */
import { withoutDress } from "./notation.ts";

/** A letter alone, in brackets, or with its option after it: (A), A., A) 10 eV, A: 10 eV, Option A. */
const CHOICE =
  /^(?:(?:the )?(?:correct |right )?(?:option|choice|answer)(?: is)?:? ?)?(?:\(([A-J])\)(?![A-Za-z])|\[([A-J])\](?![A-Za-z])|([A-J])(?=[.):,]|$))/i;

/**
 * The letter that an answer chooses, in capitals; null if it chooses none, or names several.
 * A lower-case letter counts only alone or in brackets.
 */
export function readChoice(answer: string): string | null {
  const bare = withoutDress(answer.slice(0, 500))
    .replace(/[{}$*]/g, " ")
    .replace(/\s+/g, " ")
    .trim();
  const match = CHOICE.exec(bare.replace(/\( ?([A-Ja-j]) ?\)/, "($1)"));
  const letter = match?.[1] ?? match?.[2] ?? match?.[3];
  if (letter === undefined || match === null) return null;
  const rest = bare.replace(/\( ?([A-Ja-j]) ?\)/, "($1)").slice(match[0].length);
  const isAlone = /^[.):,\s]*$/.test(rest);
  const isLower = letter !== letter.toUpperCase();
  if (isLower && !isAlone && match[3] !== undefined) return null;
  const namesAnother = /^[\s,;/&]*(?:and|or)?[\s,;/&]*\(?[A-J]\)?[\s.,;)]*$/.test(rest) && !isAlone;
  const goesOn = /^\s*[,;/&]/.test(rest) && !isAlone;
  return namesAnother || goesOn ? null : letter.toUpperCase();
}
