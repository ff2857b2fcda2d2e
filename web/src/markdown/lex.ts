/** Reads Markdown into tokens, with maths among them. HTML is text: no tag of an answer becomes an element. */
import {
  Lexer,
  type Links,
  Marked,
  type MarkedToken,
  type Token,
  type TokenizerExtension,
  type Tokens,
} from "marked";
import { type Maths, mathsAt, mathsSpans } from "./maths.ts";

export interface MathsToken extends Pick<Maths, "tex" | "isDisplayed" | "isOpen"> {
  readonly type: "maths";
  readonly raw: string;
}

/** Text that is shown as it is. */
export interface PlainToken {
  readonly type: "plain";
  readonly raw: string;
}

export type AnswerToken = MarkedToken | MathsToken | PlainToken;
export type { Links, Tokens };

/** Displayed maths at the beginning of a line. */
const DISPLAYED = /^ {0,3}(?=\$\$|\\\[|\\begin\{)/;
const NEXT_DISPLAYED = /\n {0,3}(?:\$\$|\\\[|\\begin\{)/;
const LINE_BREAK = /^<br ?\/?>/i;
/** Marks without an end, or as many spaces, take a lexer of Markdown the square of their number, and are no writing. */
const RUN = /[!-~]{2000}|[^\S\n]{500}/;
const FENCE = /^ {0,3}(?:```|~~~)/;
const PARAGRAPH = /^[^\n]+(?:\n(?![ \t]*(?:\n|$))[^\n]*)*/;

/** Paragraphs that no person reads are text. */
const plain: TokenizerExtension = {
  name: "plain",
  level: "block",
  tokenizer(src) {
    if (FENCE.test(src)) return undefined;
    const raw = PARAGRAPH.exec(src)?.[0] ?? "";
    return RUN.test(raw) ? { type: "plain", raw } : undefined;
  },
};

/** The one tag that means something: cells of a table have no other way to break a line. */
const lineBreak: TokenizerExtension = {
  name: "lineBreak",
  level: "inline",
  tokenizer(src) {
    const raw = LINE_BREAK.exec(src)?.[0];
    return raw === undefined ? undefined : { type: "br", raw };
  },
};

const tokenOf = ({ tex, isDisplayed, isOpen }: Maths, raw: string): MathsToken => ({
  ...{ type: "maths", raw, tex, isDisplayed, isOpen },
});

/** The lexer at work: extensions are told of nothing but the rest of its text. */
let atWork: AnswerLexer | undefined;

/** isStreaming: maths that has not ended takes the rest of the text */
function mathsExtensions(isStreaming: boolean): TokenizerExtension[] {
  const block: TokenizerExtension = {
    name: "maths",
    level: "block",
    start(src) {
      const at = src.search(NEXT_DISPLAYED);
      return at < 0 ? undefined : at + 1;
    },
    tokenizer(src) {
      const indent = DISPLAYED.exec(src)?.[0];
      const maths = indent === undefined ? undefined : mathsAt(src, indent.length, "");
      if (!maths) return undefined;
      if (maths.isOpen) return isStreaming ? tokenOf(maths, src) : undefined;
      const rest = /^[ \t]*(?:\n|$)/.exec(src.slice(maths.end));
      return rest ? tokenOf(maths, src.slice(0, maths.end + rest[0].length)) : undefined;
    },
  };
  const inline: TokenizerExtension = {
    name: "maths",
    level: "inline",
    start: (src) => src.indexOf("$"), // text ends before a backslash by itself
    tokenizer(src, tokens) {
      const maths = mathsAt(src, 0, tokens.at(-1)?.raw.at(-1) ?? "");
      // a cell of a table ends before the text does
      if (!maths || (maths.isOpen && !(isStreaming && atWork?.text.endsWith(src.trimEnd()))))
        return undefined;
      return tokenOf(maths, src.slice(0, maths.end));
    },
  };
  return [block, inline];
}

/** A lexer that knows the text of a block while it reads what is in it. */
class AnswerLexer extends Lexer {
  /** All of it, up to its last mark. */
  text = "";
  #source = "";

  override inlineTokens(source: string, tokens?: Token[]): Token[] {
    const before = this.#source;
    this.#source = source;
    try {
      return super.inlineTokens(source, tokens);
    } finally {
      this.#source = before;
    }
  }

  /** Hides maths in a copy of the text in which emphasis is looked for: a star in TeX ends none. */
  mask(masked: string): string {
    if (masked.length !== this.#source.length) return masked;
    let copy = "";
    let at = 0;
    for (const { from, maths } of mathsSpans(this.#source)) {
      copy += masked.slice(at, from) + "x".repeat(maths.end - from);
      at = maths.end;
    }
    return copy + masked.slice(at);
  }
}

/** Options of a lexer. A line of a model is a line, as in every chat; a line of dashes is a rule, and makes no heading of the text above. */
function optionsFor(isStreaming: boolean) {
  const marked = new Marked({ gfm: true, breaks: true });
  marked.use({
    extensions: [...mathsExtensions(isStreaming), lineBreak, plain],
    tokenizer: { html: () => undefined, tag: () => undefined, lheading: () => undefined },
    hooks: { emStrongMask: (masked) => atWork?.mask(masked) ?? masked },
  });
  return marked.defaults;
}

const whole = optionsFor(false);
const streaming = optionsFor(true);

/**
 * Tokens of a text, whose `raw` together are the text.
 * isStreaming: more is coming, so that maths without an end is maths
 * links: what earlier texts of the answer have defined; definitions of this one are added
 */
export function lex(text: string, isStreaming: boolean, links: Links): readonly AnswerToken[] {
  const lexer = new AnswerLexer(isStreaming ? streaming : whole);
  lexer.tokens.links = links;
  lexer.text = text.trimEnd();
  atWork = lexer;
  try {
    return lexer.lex(text) as AnswerToken[];
  } catch {
    return [{ type: "plain", raw: text }]; // nested deeper than the lexer's stack: readable as it is
  }
}
