import { readFile } from "node:fs/promises";
import { ConfigError, type Engine, ModelFileError } from "../../src/node/index.ts";
import { chatText, makeProblems, type TaskName } from "../problems/index.ts";
import { Random } from "../problems/random.ts";
import { paragraph } from "../tasks/prose.ts";
import type { ForcedText } from "./divergence.ts";
import { writeOwnText } from "./own-text.ts";

/** Source of texts: a file, generated tasks, or, without either, what the model writes. */
export interface TextSource {
  readonly file?: string;
  readonly tasks: readonly TaskName[];
}

export interface TextOptions {
  /** Forced steps of each text. */
  readonly steps: readonly number[];
  /** Tokens of each before the forced ones. */
  readonly prefix: number;
  readonly seed: number;
  readonly signal: AbortSignal;
  /** False ends the writing of the model's own text. */
  readonly hasTime: () => boolean;
}

export interface Texts {
  readonly texts: readonly ForcedText[];
  /** Where they come from, for people. */
  readonly from: string;
}

type Tokenizer = Engine["tokenizer"];
type Writer = Pick<Engine, "generate" | "tokenizer" | "chatTemplates">;

/** Makes texts of which no forced token is forced in another. @throws ConfigError, ModelFileError if a file cannot be used */
export async function makeTexts(
  engine: Writer,
  { file, tasks }: TextSource,
  options: TextOptions,
): Promise<Texts> {
  const { tokenizer } = engine;
  if (file !== undefined)
    return { from: file, texts: cutTexts(await readTokens(tokenizer, file), options, file) };
  if (tasks.length > 0)
    return { from: `problems of ${tasks.join(", ")}`, texts: fromTasks(tokenizer, tasks, options) };
  if (engine.chatTemplates.length === 0)
    return prose(tokenizer, options, "prose (the model has no chat template)");
  return ownTexts(engine, options);
}

/**
 * Prose and the model's own answers in turn: answers need little of what is far away, and prose is not what the model will write. Of a text
 * with answers all forced tokens are the model's and, because writing is slow, the nearer half of the context before them.
 */
async function ownTexts(engine: Writer, options: TextOptions): Promise<Texts> {
  const { prefix, steps, seed, signal, hasTime } = options;
  const isOwn = (_: unknown, i: number) => i % 2 === 1;
  const forced = sumOf(steps.filter(isOwn));
  const wanted = forced + Math.floor(prefix / 2);
  const written = await writeOwnText(engine, { tokens: wanted, seed, signal, hasTime });
  if (written.length < forced)
    return prose(engine.tokenizer, options, `prose (the model wrote ${written.length} tokens of ${wanted})`);
  const before = proseTokens(engine.tokenizer, Math.max(0, forced + prefix - written.length), seed);
  const own = cutTexts(
    [...before, ...written],
    { prefix, steps: steps.filter(isOwn) },
    "what the model wrote",
  );
  const { texts } = prose(engine.tokenizer, options, "");
  return {
    texts: texts.map((text, i) => (isOwn(text, i) ? (own[(i - 1) / 2] ?? text) : text)),
    from: "prose and the model's own answers, in turn",
  };
}

function prose(tokenizer: Tokenizer, options: TextOptions, from: string): Texts {
  const { prefix, steps, seed } = options;
  const texts = steps.map((count, i) => {
    const tokenIds = proseTokens(tokenizer, prefix + count, seed + i);
    return { tokenIds, from: prefix };
  });
  return { texts, from };
}

function proseTokens(tokenizer: Tokenizer, count: number, seed: number): number[] {
  const random = new Random(seed);
  const tokenIds: number[] = [];
  while (tokenIds.length < count) tokenIds.push(...tokenizer.encode(`${paragraph(random)}\n\n`));
  return tokenIds.slice(0, count);
}

/** Whole problems with their right completions, of at most `length` tokens: the completion is forced. */
export function makeForcedProblems(
  tokenizer: Tokenizer,
  tasks: readonly TaskName[],
  { length, count, seed }: { readonly length: number; readonly count: number; readonly seed: number },
): ForcedText[] {
  return tasks.flatMap((task) =>
    makeProblems(task, { totalTokens: length, count, seed, tokenizer }).map((problem) => {
      const { prompt, completion } = chatText(problem);
      const from = tokenizer.encode(prompt).length;
      // The engine stops at the end token; the line break after it is nobody's.
      return { tokenIds: [...tokenizer.encode(prompt), ...tokenizer.encode(completion.trimEnd())], from };
    }),
  );
}

async function readTokens(tokenizer: Tokenizer, file: string): Promise<readonly number[]> {
  try {
    return tokenizer.encode(await readFile(file, "utf8"));
  } catch (cause) {
    throw new ModelFileError(`reading the text ${file}: ${String(cause)}`, { cause });
  }
}

/**
 * Cuts tokens into texts. If there are enough they share nothing; if not, the forced tokens of one stand in the context of a later
 * one. @throws ConfigError if not even that many are there
 */
export function cutTexts(
  tokenIds: readonly number[],
  { prefix, steps }: Pick<TextOptions, "prefix" | "steps">,
  name: string,
): ForcedText[] {
  const least = prefix + sumOf(steps);
  if (tokenIds.length < least)
    throw new ConfigError(
      `${name} has ${tokenIds.length} tokens; calibration takes ${least}: give a longer text, or a smaller --budget`,
    );
  // Tokens from the end of one text to that of the next, beyond its steps.
  const apart = Math.min(prefix, Math.floor((tokenIds.length - least) / Math.max(1, steps.length - 1)));
  let end = prefix;
  return steps.map((count, i) => {
    end += count + (i === 0 ? 0 : apart);
    return { tokenIds: tokenIds.slice(end - count - prefix, end), from: prefix };
  });
}

/** The last tokens of problems, in turn of each task. */
function fromTasks(
  tokenizer: Tokenizer,
  tasks: readonly TaskName[],
  { prefix, steps, seed }: TextOptions,
): ForcedText[] {
  return steps.map((count, i) => {
    const task = tasks[i % tasks.length] ?? "registers";
    const length = prefix + count;
    const [problem] = problemsOf(tokenizer, task, { length, seed: seed + i });
    const tokenIds = problem?.tokenIds ?? [];
    return { tokenIds, from: Math.max(1, tokenIds.length - count) };
  });
}

/** @throws ConfigError if the task has no problem that is so short */
function problemsOf(
  tokenizer: Tokenizer,
  task: TaskName,
  size: { readonly length: number; readonly seed: number },
): ForcedText[] {
  try {
    return makeForcedProblems(tokenizer, [task], { ...size, count: 1 });
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause;
    throw new ConfigError(`${cause.message}; give a larger --budget`, { cause });
  }
}

function sumOf(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0);
}
