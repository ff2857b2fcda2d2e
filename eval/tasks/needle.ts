/**
 * Needle in a haystack: a fact at a depth of a long text, which a question asks for at the end. The answer's tokens are forced, and
 * the needle is found if each is the likeliest: then greedy decoding says them, too.
 *
 * Source: TidalDecode's needle test, as LessIsMore has it (10 depths, "The special magic {city} number is: {7 digits}"). Departures:
 * there the question is part of the dense prefill, which a sparse policy does not see, so that only the digits are decoded sparsely.
 * Here `needle` feeds the question as decode steps, `needle-context` all of it, and `needle-prompt` is the reference's.
 */
import { ConfigError } from "../../src/node/index.ts";
import { Random } from "../problems/random.ts";
import type { SolverTokenizer } from "../run/solver.ts";
import type { ForcedProblem, ProblemOptions, Task } from "./task.ts";
import { requireTokenizer, startTokens, type TextSource } from "./text-source.ts";

/** What is fed as decode steps: the question, all tokens, or nothing but the answer. */
export type NeedleFeed = "question" | "context" | "prompt";

const NAMES: Readonly<Record<NeedleFeed, string>> = {
  question: "needle",
  context: "needle-context",
  prompt: "needle-prompt",
};
const DEPTHS = 10;
const CITIES = [
  ...["Lisbon", "Oslo", "Cairo", "Lima", "Kyoto", "Dublin", "Nairobi", "Prague", "Quito", "Vienna"],
  ...["Havana", "Athens", "Tunis", "Seoul", "Warsaw", "Bogota", "Ankara", "Riga", "Hanoi", "Zagreb"],
];

export function needleTask(feed: NeedleFeed, text: TextSource): Task {
  return {
    name: NAMES[feed],
    version: 1,
    settings: text.settings,
    kind: "forced",
    metric: "correct",
    defaultLengths: [2048],
    defaultAttempts: 1,
    problems: async (options) => makeNeedles(feed, text, options),
  };
}

/** Problems in rounds of 10 depths, from the first token to the question; each round has its own text, city and number. */
function makeNeedles(
  feed: NeedleFeed,
  text: TextSource,
  { count = DEPTHS, length = 2048, seed, tokenizer: given }: ProblemOptions,
): ForcedProblem[] {
  const tokenizer = requireTokenizer(given, NAMES[feed]);
  const problems: ForcedProblem[] = [];
  for (let round = 0; problems.length < count; round++) {
    const random = new Random(seed * 1_000_003 + round);
    const needle = { city: random.choice(CITIES), number: String(random.range(1_000_000, 10_000_000)) };
    const ids = text.tokens(tokenizer, length, round);
    if (ids.length < length)
      throw new ConfigError(
        `${NAMES[feed]}: the text (${text.name}) has ${ids.length} tokens, fewer than the length of ${length}`,
      );
    const pieces = piecesOf(tokenizer, needle);
    for (let depth = 0; depth < DEPTHS && problems.length < count; depth++)
      problems.push(makeNeedle({ feed, tokenizer, length, ids, pieces, needle, seed, round, depth }));
  }
  return problems;
}

function piecesOf(tokenizer: SolverTokenizer, { city, number }: Needle) {
  const encode = (text: string) => tokenizer.encode(text, { addSpecialTokens: false });
  return {
    start: startTokens(tokenizer),
    fact: encode(` The special magic ${city} number is: ${number}.`),
    question: encode(
      `\n\nQuestion: What is the special magic ${city} number?\nAnswer: The special magic ${city} number is:`,
    ),
    answer: encode(` ${number}`),
  };
}

interface Needle {
  readonly city: string;
  readonly number: string;
}

function makeNeedle({
  feed,
  tokenizer,
  length,
  ids,
  pieces: { start, fact, question, answer },
  needle,
  seed,
  round,
  depth,
}: {
  readonly feed: NeedleFeed;
  readonly tokenizer: SolverTokenizer;
  readonly length: number;
  readonly ids: readonly number[];
  readonly pieces: ReturnType<typeof piecesOf>;
  readonly needle: Needle;
  readonly seed: number;
  readonly round: number;
  readonly depth: number;
}): ForcedProblem {
  const room = length - start.length - fact.length - question.length - answer.length;
  if (room < 1)
    throw new ConfigError(`${NAMES[feed]}: a length of ${length} tokens is too short; take 128 or more`);
  const at = sentenceEnd(tokenizer, ids, Math.round((depth / (DEPTHS - 1)) * room));
  const context = [...start, ...ids.slice(0, at), ...fact, ...ids.slice(at, room)];
  const tokenIds = [...context, ...question, ...answer];
  const countFrom = context.length + question.length;
  const from = { question: context.length, context: 1, prompt: countFrom }[feed];
  const share = depth / (DEPTHS - 1);
  return {
    kind: "forced",
    id: `${seed}-${round}-depth-${(100 * share).toFixed(0)}`,
    target: needle.number,
    doc: { ...needle, depth: share, needleAt: start.length + at, tokens: tokenIds.length, round },
    tokenIds,
    from,
    countFrom,
    metric: "correct",
  };
}

/** Tokens to look back for the end of a sentence. */
const LOOK_BACK = 120;

/** The position after the last full stop at or before `at`, as in the reference; `at` itself if there is none near. */
function sentenceEnd(tokenizer: SolverTokenizer, ids: readonly number[], at: number): number {
  for (let i = at; i > Math.max(0, at - LOOK_BACK); i--)
    if (/[.!?]["'”]?\s*$/.test(tokenizer.decode([ids[i - 1] ?? 0]))) return i;
  return at;
}
