import { type AnswerToken, type Links, lex } from "./lex.ts";
import { shownOf } from "./unfinished.ts";

/** An update of the text that took this long, in milliseconds, is followed by a pause of `PAUSE` times as long. */
const SLOW_MS = 8;
const PAUSE = 8;

/** A block of an answer. */
export interface Block {
  readonly token: AnswerToken;
  /** True if it may still change. */
  readonly isOpen: boolean;
}

/**
 * Reads an answer while it comes. Blocks that have ended are read once; a frame costs what the last block costs. What the end has is
 * what the whole text has at once, whatever the pieces were.
 */
export class AnswerStream {
  #ended: Block[] = [];
  /** The text of the blocks that have ended. */
  #before = "";
  #links: Links = {};
  #blocks: readonly Block[] = [];
  /** What was read last. */
  #source: string | undefined;
  #wasStreaming = false;
  #readAt = Number.NEGATIVE_INFINITY;
  #tookMs = 0;
  readonly #now: () => number;

  /** now: milliseconds of a clock */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** The blocks of the text so far. A text that does not begin as the last one did is another answer. */
  read(source: string, isStreaming: boolean): readonly Block[] {
    if (source === this.#source && isStreaming === this.#wasStreaming) return this.#blocks;
    const text = source.replaceAll(/\r\n?/g, "\n");
    const started = this.#now();
    const rests = isStreaming && this.#tookMs > SLOW_MS && started - this.#readAt < PAUSE * this.#tookMs;
    if (rests && text.startsWith(this.#before)) return this.#blocks;
    [this.#source, this.#wasStreaming] = [source, isStreaming];
    if (!text.startsWith(this.#before)) this.#reset();
    this.#blocks = isStreaming ? this.#readOpen(text) : this.#readEnd(text);
    this.#readAt = this.#now();
    this.#tookMs = this.#readAt - started;
    return this.#blocks;
  }

  #reset(): void {
    [this.#ended, this.#before, this.#links] = [[], "", {}];
  }

  #readEnd(text: string): readonly Block[] {
    let tokens = lex(text.slice(this.#before.length), false, this.#links);
    if (this.#before !== "" && Object.keys(this.#links).length > 0) {
      this.#reset(); // a definition changes links before it
      tokens = lex(text, false, {});
    }
    return [...this.#ended, ...tokens.map((token) => ({ token, isOpen: false }))];
  }

  #readOpen(text: string): readonly Block[] {
    let rest = text.slice(this.#before.length);
    if (EMPTY_LINE.test(rest)) {
      const tokens = lex(rest, true, { ...this.#links });
      const ended = tokens
        .slice(0, startOfOpen(tokens))
        .map(({ raw }) => raw)
        .join("");
      if (ended !== "" && rest.startsWith(ended)) {
        const blocks = lex(ended, false, this.#links).map((token) => ({ token, isOpen: false }));
        this.#ended = [...this.#ended, ...blocks];
        this.#before += ended;
        rest = rest.slice(ended.length);
      }
    }
    const tokens = lex(shownOf(rest), true, { ...this.#links });
    return [...this.#ended, ...tokens.map((token) => ({ token, isOpen: true }))];
  }
}

/** What stands between blocks, with more after it. */
const EMPTY_LINE = /\n[ \t]*\n\s*\S/;
/** Characters after which a line is known for what it is: the next number of a list, a rule, or text. */
const KNOWN_LENGTH = 24;

/** Index of the first token that may still change: one after an empty line, as what a line is depends on the lines above it. */
function startOfOpen(tokens: readonly AnswerToken[]): number {
  const last = tokens.findLastIndex(({ type }) => type !== "space");
  const { raw = "" } = tokens[last] ?? {};
  for (let i = raw.includes("\n") || raw.length > KNOWN_LENGTH ? last : last - 1; i > 0; i--) {
    const before = tokens[i - 1];
    const isApart = before?.type === "space" || before?.raw.endsWith("\n\n");
    if (isApart && tokens[i]?.type !== "space") return i;
  }
  return 0;
}
