/** The answer that a response gives, and the rule that found it. */
import { lastBox } from "./boxes.ts";
import { readChoice } from "./choice.ts";
import type { AnswerKind } from "./equivalence.ts";
import { PLAIN_NAMES } from "./notation.ts";
import { parseAnswer } from "./parse-answer.ts";

/** The rules in the order in which they are tried; the last two find nothing. */
export type ExtractionRule =
  /** \boxed{…}, \fbox{…}, \framebox{…}: the last that closes. */
  | "boxed"
  | "fbox"
  | "framebox"
  /** \boxed 5 */
  | "boxed without braces"
  /** "The answer is …", "the correct option is …": the last such sentence. */
  | "answer is"
  /** "Answer: …", "**Final answer:** …": the last such line. */
  | "answer line"
  /** A line "Answer" or "**Final answer**", and the value below it. */
  | "answer heading"
  /** The whole response is a single value. */
  | "whole response"
  /** The reasoning has no end: what it holds is not an answer. */
  | "unfinished reasoning"
  | "none";

/** The answer that a rule found in a response; null if none did. */
export interface Extraction {
  readonly answer: string | null;
  readonly rule: string;
}

/** The markers around a model's reasoning. */
export interface ReasoningMarkers {
  readonly open: string;
  readonly close: string;
}

/** What to look for in a response. */
export interface ExtractOptions {
  /** Default: "math". A letter is read only for "choice". */
  readonly kind?: AnswerKind;
  /** Markers of the model's reasoning, beside <think> and [THINK]. */
  readonly markers?: readonly ReasoningMarkers[];
  /** True for a model whose prompt opens the reasoning: a response without the closing marker then has no answer. Default: false. */
  readonly beginsInReasoning?: boolean;
}

const MARKERS: readonly ReasoningMarkers[] = [
  { open: "<think>", close: "</think>" },
  { open: "[THINK]", close: "[/THINK]" },
];

/** Characters of a sentence's value that are read. */
const MAX_VALUE = 400;
const MAX_WHOLE = 120;

/**
 * Finds the answer in a response, after the end of its reasoning only. The first rule that finds one wins: the last box that closes;
 * else the last sentence "the answer is …"; else the last line "Answer: …"; else what stands below "Final answer"; else the
 * whole response, if it is a single value.
 * No rule takes the last number or the last formula of a text: those may be a step of the way.
 * answer: null if no rule found one, or if the reasoning has no end.
 */
export function extractAnswer(response: string, options: ExtractOptions = {}): Extraction {
  const kind = options.kind ?? "math";
  const text = afterReasoning(response, options);
  if (text === undefined) return { answer: null, rule: "unfinished reasoning" satisfies ExtractionRule };
  const box = lastBox(text);
  if (box)
    return {
      answer: box.content,
      rule: box.hasBraces ? box.command : ("boxed without braces" satisfies ExtractionRule),
    };
  const rules: readonly (readonly [
    ExtractionRule,
    (text: string, kind: AnswerKind) => string | undefined,
  ])[] = [
    ["answer is", answerSentence],
    ["answer line", answerLine],
    ["answer heading", answerHeading],
    ["whole response", wholeResponse],
  ];
  for (const [rule, find] of rules) {
    const answer = find(text, kind);
    if (answer !== undefined) return { answer, rule };
  }
  return { answer: null, rule: "none" satisfies ExtractionRule };
}

/** What comes after the last closing marker; undefined if the reasoning goes on to the end. */
function afterReasoning(response: string, options: ExtractOptions): string | undefined {
  const markers = [...MARKERS, ...(options.markers ?? [])];
  let start = -1;
  for (const { close } of markers) {
    const index = response.lastIndexOf(close);
    if (index >= 0) start = Math.max(start, index + close.length);
  }
  if (start < 0 && options.beginsInReasoning === true) return undefined;
  const rest = start < 0 ? response : response.slice(start);
  return markers.some(({ open }) => rest.includes(open)) ? undefined : rest;
}

const SENTENCE =
  /(?:\b(?:answer|(?:correct|right|best)\s+(?:option|choice)|(?:option|choice))(?:\s+(?:to|for)\s+(?:the|this)\s+(?:problem|question))?\s+(?:is|are|equals|will be|would be|must be|=)(?:\s+(?:therefore|thus|hence|simply|then|just|clearly|exactly|indeed|finally))?|答案\s*(?:是|为|[:：]))\s*[:：]?\s*/gi;
/** Begins at the start of a line alone, since a search from every blank takes the square of their number. */
const LINE = /^[ \t>#*_]*(?:(?:the|my|your)\s+)?(?:final\s+|correct\s+)?answer[\s*_]*[:=][\s*_]*/gim;

/** The value is on a line of its own below. */
const HEADING =
  /^[ \t>#*_]*(?:(?:the|my|your)[ \t]+)?(?:final[ \t]+|correct[ \t]+)?answer[ \t*_]*\r?\n[\s*_]*/gim;

function answerSentence(text: string, kind: AnswerKind): string | undefined {
  return lastValue(text, SENTENCE, kind);
}

function answerLine(text: string, kind: AnswerKind): string | undefined {
  return lastValue(text, LINE, kind);
}

function answerHeading(text: string, kind: AnswerKind): string | undefined {
  const value = lastValue(text, HEADING, kind);
  return value !== undefined && (kind === "choice" || isSingleValue(value)) ? value : undefined;
}

/** The value after the last match of a lead; undefined if what follows is no value. */
function lastValue(text: string, lead: RegExp, kind: AnswerKind): string | undefined {
  let start = -1;
  for (const match of text.matchAll(lead)) start = match.index + match[0].length;
  return start < 0 ? undefined : valueAt(text.slice(start, start + MAX_VALUE), kind);
}

/** A formula between its delimiters, else the rest of the sentence. */
function valueAt(text: string, kind: AnswerKind): string | undefined {
  const plain = text.replace(/^[\s*_"“:]+/, "");
  if (kind === "choice") return readLetter(plain);
  const formula = /^(?:\$\$([^$]+)\$\$|\$([^$]+)\$|\\\(([\s\S]+?)\\\)|\\\[([\s\S]+?)\\\])/.exec(plain);
  const inner = formula?.slice(1).find((group) => group !== undefined);
  if (formula && inner !== undefined) return withTrailingUnit(inner.trim(), plain.slice(formula[0].length));
  const sentence = /^[^\n]*?(?=[.!?]?(?:\*\*|["”])|[.!?](?:\s|$)|[。\n]|$)/
    .exec(plain)?.[0]
    .replace(/[\s,(]+(?:because|since|as|which|where)\b.*$/i, "")
    .trim();
  if (!sentence) return undefined;
  if (kind === "text") return sentence;
  const value = sentence.replace(/\$/g, "");
  const isName = /^\p{L}[\p{L}'-]*(?: \p{L}[\p{L}'-]*){0,2}$/u.test(value);
  return isSingleValue(value) || isName ? value : undefined;
}

function withTrailingUnit(value: string, rest: string): string {
  return /^\s*\\?%/.test(rest) ? `${value}\\%` : value;
}

function readLetter(text: string): string | undefined {
  const line = text.split("\n", 1)[0]?.replace(/[$*]/g, "").trim() ?? "";
  const letter = readChoice(line.replace(/^\\\(|\\\)/g, "").trim());
  if (letter !== null) return letter;
  const leading = /^\(?([A-J])\)?(?=[\s,;.:]|$)(?!\s+(?:or|and)\b)/.exec(line)?.[1];
  return leading;
}

/** One formula or number without prose around it. */
function wholeResponse(text: string, kind: AnswerKind): string | undefined {
  const whole = text.trim().replace(/^\*\*([^*]+)\*\*$/, "$1");
  if (whole === "" || whole.length > MAX_WHOLE || whole.includes("\n")) return undefined;
  if (kind === "choice") return readChoice(whole) ?? undefined;
  if (kind === "text") return whole;
  const inner = /^(?:\$\$?([^$]+)\$\$?|\\\((.+)\\\)|\\\[(.+)\\\])[.]?$/
    .exec(whole)
    ?.slice(1)
    .find((group) => group !== undefined);
  if (inner !== undefined) return inner.trim();
  return isSingleValue(whole) ? whole : undefined;
}

/** Mathematics with at most one plain word, its unit, and not a sentence. */
function isSingleValue(text: string): boolean {
  const parsed = parseAnswer(text, { commasGroupDigits: true });
  if (parsed === undefined || parsed.kind === "text") return false;
  const plain = text.replace(/\\(?:text|mbox|mathrm|textbf)\s*\{[^{}]*\}|\\[A-Za-z]+/g, " ");
  const words = [...plain.matchAll(/[A-Za-z]{2,}/g)].filter(([word]) => !PLAIN_NAMES.has(word));
  return words.length === 0 || (words.length === 1 && /\d/.test(text));
}
