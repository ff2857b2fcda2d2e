/** Text of a model's own: its answers to questions, written under full attention. */
import type { Engine } from "../../src/node/index.ts";

/** Questions that make most models write at length; the model's answers count, not these. */
const QUESTIONS = [
  "Explain step by step how a mechanical clock keeps time, and what makes it drift.",
  "A train leaves at 9:40 and takes 2 hours and 35 minutes; a second one leaves 50 minutes later and is a third faster. When does each arrive? Show every step.",
  "Write a long story about a lighthouse keeper who finds a letter in a bottle.",
  "Write a program that finds the shortest path through a maze, and explain each part of it.",
  "Compare the advantages and disadvantages of living in a city and in the country, in detail.",
  "List the numbers from 1 to 60 that are divisible by 3 or by 7, and say for each why.",
  "Describe how bread is made, from sowing the wheat to slicing the loaf.",
  "Prove that the square root of 2 is irrational, and then explain the proof to a child.",
  "Plan a week of meals for a family of four, with a shopping list and the cost of each day.",
  "Summarise the causes of the seasons, the tides and the phases of the moon, and how they differ.",
  "Write a dialogue between a doctor and a patient who cannot sleep.",
  "Explain how a sorting algorithm works on the list 9, 4, 7, 1, 8, 2, 6, showing the list after every step.",
];
/** Answers written at once, and tokens of each at most. */
const [AT_ONCE, ANSWER_TOKENS] = [4, 384];
/** Rounds of questions at most: a model that answers in few words never has enough. */
const MOST_ROUNDS = 12;

export interface OwnTextOptions {
  /** Tokens wanted. */
  readonly tokens: number;
  readonly seed: number;
  readonly signal: AbortSignal;
  /** False ends the writing after the answers under way. */
  readonly hasTime: () => boolean;
}

/** Answers of the model one after the other, each after its question: at least `tokens`, unless the model or the time does not suffice. */
export async function writeOwnText(
  engine: Pick<Engine, "generate" | "tokenizer">,
  { tokens, seed, signal, hasTime }: OwnTextOptions,
): Promise<number[]> {
  const text: number[] = [];
  for (let round = 0; round < MOST_ROUNDS && text.length < tokens && hasTime(); round++) {
    const questions = Array.from(
      { length: AT_ONCE },
      (_, i) => QUESTIONS[(round * AT_ONCE + i) % QUESTIONS.length] ?? "",
    );
    const answers = await Promise.all(
      questions.map((question, i) =>
        engine
          .generate({
            messages: [{ role: "user", content: question }],
            ...{ attention: "full", signal, temperature: 0.7, topP: 0.95 },
            ...{ maxTokens: Math.min(ANSWER_TOKENS, tokens), seed: seed + round * AT_ONCE + i },
          })
          .result(),
      ),
    );
    for (const [i, { tokenIds }] of answers.entries())
      text.push(...engine.tokenizer.encode(`${questions[i]}\n\n`), ...tokenIds);
  }
  return text;
}
