import { ModelFileError } from "../../base/errors.ts";
import { type Pattern, PatternError } from "./pattern-ast.ts";
import { compileMatcher, type Matcher } from "./pattern-matcher.ts";
import { parsePattern } from "./pattern-parser.ts";
import { PUBLISHED_PATTERNS } from "./published-patterns.ts";

/** A compiled pattern. */
export interface TextPattern {
  /** Yields [start, end) of every match from left to right, in UTF-16 units. Matches may be empty. */
  spans(text: string): Iterable<readonly [number, number]>;
}

/**
 * JavaScript runs these in linear time: when an alternative fails after a run of characters, a later alternative takes
 * the whole run.
 */
const TRUSTED: ReadonlySet<string> = new Set(Object.values(PUBLISHED_PATTERNS));

/**
 * Compiles a pattern of a tokenizer file, in Oniguruma's syntax. JavaScript runs patterns of published tokenizers and
 * single character classes, repeated or not. A matcher with work linear in the text runs all others, so that no pattern
 * can block the calling thread.
 * @param place the pattern's place in the file, for messages
 * @throws ModelFileError when the pattern is invalid or uses an unsupported construct
 */
export function compilePattern(source: string, place: string): TextPattern {
  const refuse = (cause: unknown): never => {
    if (!(cause instanceof PatternError || cause instanceof SyntaxError)) throw cause;
    const shown = JSON.stringify(source.length > 80 ? `${source.slice(0, 77)}...` : source);
    throw new ModelFileError(`reading ${place}: the pattern ${shown} cannot be used: ${cause.message}`, {
      cause,
    });
  };
  try {
    const pattern = parsePattern(source);
    const isTrusted = TRUSTED.has(source) || isClass(pattern);
    return isTrusted ? nativePattern(pattern) : boundedPattern(compileMatcher(pattern), refuse);
  } catch (cause) {
    return refuse(cause);
  }
}

/** Recognises a class or a repeated class: such a pattern fails at the first character of a run, if at all. */
function isClass(pattern: Pattern): boolean {
  return (
    pattern.kind === "set" || (pattern.kind === "repeat" && pattern.item.kind === "set" && pattern.min <= 3)
  );
}

/** Creates a pattern that matches a literal text. */
export function literalPattern(text: string): TextPattern {
  return {
    *spans(within) {
      if (text === "") return;
      for (let at = within.indexOf(text); at >= 0; at = within.indexOf(text, at + text.length))
        yield [at, at + text.length];
    },
  };
}

function nativePattern(pattern: Pattern): TextPattern {
  const regex = new RegExp(toJavaScript(pattern, { groups: 0 }), "gv");
  return {
    *spans(text) {
      for (const match of text.matchAll(regex)) yield [match.index, match.index + match[0].length];
    },
  };
}

function boundedPattern(
  matcherOf: (text: string) => Matcher,
  refuse: (cause: unknown) => never,
): TextPattern {
  return {
    *spans(text) {
      try {
        const matcher = matcherOf(text);
        for (let at = 0; at <= text.length; ) {
          const end = matcher.matchAt(at);
          if (end >= 0) yield [at, end];
          at = end > at ? end : at + ((text.codePointAt(at) ?? 0) > 0xffff ? 2 : 1);
        }
      } catch (cause) {
        refuse(cause);
      }
    },
  };
}

/** Writes a pattern as JavaScript source for `v` mode. */
function toJavaScript(node: Pattern, state: { groups: number }): string {
  switch (node.kind) {
    case "empty":
      return "";
    case "set":
    case "assertion":
      return node.source;
    case "sequence":
      return node.items.map((item) => toJavaScript(item, state)).join("");
    case "choice":
      return `(?:${node.items.map((item) => toJavaScript(item, state)).join("|")})`;
    case "repeat": {
      const bounds = node.max === Number.POSITIVE_INFINITY ? `{${node.min},}` : `{${node.min},${node.max}}`;
      return `(?:${toJavaScript(node.item, state)})${bounds}${node.isGreedy ? "" : "?"}`;
    }
    case "atomic": {
      // JavaScript does not backtrack into a lookahead
      const group = ++state.groups;
      return `(?:(?=(${toJavaScript(node.item, state)}))\\${group})`;
    }
    case "lookaround":
      return `(?${node.isBehind ? "<" : ""}${node.isNegated ? "!" : "="}${toJavaScript(node.item, state)})`;
  }
}

/** The two matchers by name, for tests. */
export const patternRunners = {
  native: (source: string): TextPattern => nativePattern(parsePattern(source)),
  bounded: (source: string): TextPattern =>
    boundedPattern(compileMatcher(parsePattern(source)), (cause) => {
      throw cause;
    }),
};
