/** Requests that stream at once, as a chat server has them: sampled with top-p, with stop texts, each read by a loop of its own. */
import type { AttentionObserver, Engine, GenerationRequest } from "../src/node/index.ts";
import { attentionOf } from "./attention.ts";
import { LEAD_TOKENS, newSalt, promptOf } from "./token-times.ts";

/** Of each request, beside its prompt. The stop texts begin as text does and never come whole. */
export const CHAT = {
  temperature: 0.8,
  topP: 0.95,
  stop: ["\n\nQuestion 999:", "The end of all answers."],
} as const satisfies GenerationRequest;

export interface StreamsOptions {
  /** Streams at once. */
  readonly sequences: number;
  /** Tokens of each prompt. */
  readonly promptTokens: number;
  /** Tokens that a stream may generate; it must not reach them. */
  readonly maxTokens: number;
  readonly attention: string;
  /** Timed tokens of the stream that begins last. */
  readonly steps: number;
  readonly observer?: AttentionObserver | undefined;
  /** Tokens of the prompts of requests that come while the streams are timed, one a second. Default: none come. */
  readonly newcomerTokens?: number | undefined;
  /** Called when the timed part begins and ends. */
  readonly began?: () => void;
  readonly ended?: () => void;
}

export interface StreamTimes {
  /** Of all streams together. */
  readonly tokensPerSecond: number;
  /** Milliseconds from a token of a stream to its next, of all streams. */
  readonly intervals: readonly number[];
  /** Length of the timed part. */
  readonly ms: number;
  /** Tokens that came meanwhile. */
  readonly tokens: number;
  /** Milliseconds from each newcomer to its first token. */
  readonly newcomersMs: readonly number[];
}

/** Tokens of the last stream in which the others' unread parts are read. */
const SETTLING_TOKENS = 8;
/** Tokens that a stream may have more than the last one: unread parts, on both sides of a worker, and those of steps in flight. */
export const TOKENS_AHEAD = 160;
/** Tokens that a stream has before the timed part begins. */
export const TOKENS_BEFORE = LEAD_TOKENS + SETTLING_TOKENS;
const NEWCOMER_EVERY_MS = 1000;
const NEWCOMER_TOKENS = 8;

/**
 * Runs streams until the one that begins last has had its first tokens and `steps` more; then aborts all. Timed is what comes after the
 * first tokens of all. @throws RangeError if a stream ends before that
 */
export async function timeStreams(
  engine: Pick<Engine, "generate">,
  options: StreamsOptions,
): Promise<StreamTimes> {
  const run = new Streams(engine, options);
  return run.time();
}

/** Parts of a stream: when they came, and how many tokens each had. */
interface Arrivals {
  readonly times: number[];
  readonly counts: number[];
  tokens: number;
}

class Streams {
  readonly #engine: Pick<Engine, "generate">;
  readonly #options: StreamsOptions;
  /** One of each stream: more listeners on one signal than Node expects would print a warning. */
  readonly #ends: AbortController[] = [];
  readonly #streams: Arrivals[] = [];
  #numReady = 0;
  /** The stream that began last, once all have begun. */
  #last: Arrivals | undefined;
  #isOver = false;
  #begin = () => {};
  readonly #begun = new Promise<void>((resolve) => {
    this.#begin = resolve;
  });
  #from = Number.NaN;
  #to = Number.NaN;
  readonly #newcomersMs: number[] = [];

  constructor(engine: Pick<Engine, "generate">, options: StreamsOptions) {
    this.#engine = engine;
    this.#options = options;
  }

  async time(): Promise<StreamTimes> {
    const { sequences, newcomerTokens } = this.#options;
    const streams = Array.from({ length: sequences }, (_, index) => this.#stream(index));
    try {
      await Promise.all(
        newcomerTokens === undefined ? streams : [...streams, this.#newcomers(newcomerTokens)],
      );
    } finally {
      this.#end();
      this.#begin();
      await Promise.allSettled(streams);
    }
    return this.#times();
  }

  async #stream(index: number): Promise<void> {
    const stream: Arrivals = { times: [], counts: [], tokens: 0 };
    this.#streams.push(stream);
    const { promptTokens, maxTokens, observer } = this.#options;
    const request = await this.#request(promptTokens, maxTokens);
    const { signal } = request;
    try {
      for await (const part of this.#engine.generate({
        ...{ ...request, seed: index + 1 },
        ...(observer && { observer }),
      })) {
        const count = part.tokenIds.length + (part.markerTokenIds?.length ?? 0);
        const before = stream.tokens;
        stream.times.push(performance.now());
        stream.counts.push(count);
        stream.tokens += count;
        if (before < LEAD_TOKENS && stream.tokens >= LEAD_TOKENS) await this.#allBegun(stream);
        if (stream === this.#last) this.#follow(before, stream.tokens);
      }
    } catch (error) {
      if (!signal?.aborted) throw error;
    }
    if (!this.#isOver)
      throw new RangeError(
        `timing ${this.#options.sequences} streams: one ended after ${stream.tokens} tokens, before all were timed; give the engine ` +
          "a longer context, or time fewer steps",
      );
  }

  async #request(promptTokens: number, maxTokens: number): Promise<GenerationRequest> {
    const end = new AbortController();
    this.#ends.push(end);
    return {
      ...{ ...CHAT, tokenIds: promptOf(promptTokens), cacheSalt: newSalt(), maxTokens, ignoreEos: true },
      ...{ attention: await attentionOf(this.#options.attention), signal: end.signal },
    };
  }

  /** Waits, unread, until every stream has begun: one that nobody reads is paused, so that it does not run ahead of the others. */
  async #allBegun(stream: Arrivals): Promise<void> {
    if (++this.#numReady === this.#options.sequences) {
      this.#last = stream;
      this.#begin();
    }
    await this.#begun;
  }

  /** Begins and ends the timed part by the tokens of the last stream. */
  #follow(before: number, tokens: number): void {
    const first = LEAD_TOKENS + SETTLING_TOKENS;
    if (before < first && tokens >= first) {
      this.#from = performance.now();
      this.#options.began?.();
    } else if (tokens >= first + this.#options.steps) this.#end();
  }

  #end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#to = performance.now();
    this.#options.ended?.();
    for (const end of this.#ends) end.abort();
  }

  /** A request a second, from the beginning of the timed part to its end. */
  async #newcomers(promptTokens: number): Promise<void> {
    const running: Promise<void>[] = [];
    for (let last = performance.now(); !this.#isOver; ) {
      await new Promise((resolve) => setTimeout(resolve, 10));
      if (this.#last === undefined || performance.now() - last < NEWCOMER_EVERY_MS) continue;
      last = performance.now();
      running.push(this.#newcomer(promptTokens));
    }
    await Promise.all(running);
  }

  async #newcomer(promptTokens: number): Promise<void> {
    const request = await this.#request(promptTokens, NEWCOMER_TOKENS);
    const started = performance.now();
    let isFirst = true;
    try {
      for await (const _ of this.#engine.generate(request)) {
        if (isFirst) this.#newcomersMs.push(performance.now() - started);
        isFirst = false;
      }
    } catch (error) {
      if (!request.signal?.aborted) throw error;
    }
  }

  #times(): StreamTimes {
    const [from, to] = [this.#from, this.#to];
    const intervals: number[] = [];
    let tokens = 0;
    for (const { times, counts } of this.#streams)
      for (let i = 1; i < times.length; i++) {
        const [at, before, count] = [times[i] as number, times[i - 1] as number, counts[i] as number];
        if (at <= from || at > to) continue;
        tokens += count;
        for (let token = 0; token < count; token++) intervals.push((at - before) / count);
      }
    return {
      ...{ tokensPerSecond: (1000 * tokens) / (to - from), intervals, ms: to - from, tokens },
      newcomersMs: this.#newcomersMs,
    };
  }
}
