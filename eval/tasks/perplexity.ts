/**
 * Perplexity of a text, token by token as decode steps: windows of the text, each a dense prefill of its first tokens and then its
 * other tokens, one step each. Source: TidalDecode's ppl.py, which feeds one book from its first token on; here the number of forced
 * tokens is a setting, and many windows give an interval.
 */
import { ConfigError } from "../../src/node/index.ts";
import type { ForcedProblem, ProblemOptions, Task } from "./task.ts";
import { requireTokenizer, startTokens, type TextSource } from "./text-source.ts";

const DEFAULT_WINDOWS = 8;

export interface PerplexityOptions {
  /** Tokens of a window that are fed as decode steps and scored. Default: the second half. */
  readonly forcedTokens?: number;
}

export function perplexityTask(text: TextSource, { forcedTokens }: PerplexityOptions = {}): Task {
  return {
    name: "perplexity",
    version: 1,
    settings: { ...text.settings, forcedTokens: forcedTokens ?? null },
    kind: "forced",
    metric: "loss",
    defaultLengths: [2048],
    defaultAttempts: 1,
    problems: async (options) => makeWindows(text, forcedTokens, options),
  };
}

/** Windows one after the other, as many as the text holds. */
function makeWindows(
  text: TextSource,
  forcedTokens: number | undefined,
  { count = DEFAULT_WINDOWS, length = 2048, tokenizer: given }: ProblemOptions,
): ForcedProblem[] {
  const tokenizer = requireTokenizer(given, "perplexity");
  const start = startTokens(tokenizer);
  const forced = forcedTokens ?? Math.floor(length / 2);
  if (forced >= length)
    throw new ConfigError(
      `perplexity: ${forced} forced tokens do not fit a length of ${length}, which has at least one more`,
    );
  const stride = length - start.length;
  const ids = text.tokens(tokenizer, stride * count, 0);
  if (ids.length < stride)
    throw new ConfigError(
      `perplexity: the text (${text.name}) has ${ids.length} tokens, fewer than the length of ${length}`,
    );
  return Array.from({ length: Math.min(count, Math.floor(ids.length / stride)) }, (_, i) => ({
    kind: "forced",
    id: String(i),
    target: `tokens ${i * stride + stride - forced} to ${(i + 1) * stride} of the text`,
    doc: { start: i * stride, tokens: length, forced },
    tokenIds: [...start, ...ids.slice(i * stride, (i + 1) * stride)],
    from: length - forced,
    countFrom: length - forced,
    metric: "loss",
  }));
}
