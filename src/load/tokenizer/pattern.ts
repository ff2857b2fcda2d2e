import { ModelFileError } from "../../base/errors.ts";
import { type Pattern, PatternError } from "./pattern-ast.ts";
import { compileMatcher, type Matcher } from "./pattern-matcher.ts";
import { parsePattern } from "./pattern-parser.ts";

/** A compiled pattern. */
export interface TextPattern {
  /** Yields [start, end) of every match from left to right, in UTF-16 units. Matches may be empty. */
  spans(text: string): Iterable<readonly [number, number]>;
}

const WORD_OF_CASES =
  "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+";
const WORD_OF_CAPITALS =
  "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*";
const ENGLISH = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
const SPACES = "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
const signs = (ends: string) => ` ?[^\\s\\p{L}\\p{N}]+${ends}`;
const words = (digits: string) =>
  `${ENGLISH}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|${digits}|${signs("[\\r\\n]*")}|${SPACES}`;

/**
 * Patterns of published tokenizers. JavaScript runs these in linear time: when an alternative fails after a run of
 * characters, a later alternative takes the whole run.
 */
const TRUSTED: ReadonlySet<string> = new Set([
  // GPT-2 and what followed it: SmolLM, StarCoder, Falcon, GPT-NeoX, OLMo
  "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
  "'(?:[sdmt]|ll|ve|re)| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
  // Llama 3, Granite, SmolLM3, Phi-4, GLM-4, Command-R, cl100k
  words("\\p{N}{1,3}"),
  // Qwen2, Qwen2.5, Qwen3
  words("\\p{N}"),
  `${words("\\p{N}").replace("\\p{L}+", "[\\p{L}\\p{M}]+").replace("[^\\s\\p{L}\\p{N}]", "[^\\s\\p{L}\\p{M}\\p{N}]")}`,
  // gpt-oss, Phi-4-mini: o200k
  `${WORD_OF_CASES}${ENGLISH}?|${WORD_OF_CAPITALS}${ENGLISH}?|\\p{N}{1,3}|${signs("[\\r\\n/]*")}|${SPACES}`,
  // Mistral's Tekken
  `${WORD_OF_CASES}|${WORD_OF_CAPITALS}|\\p{N}|${signs("[\\r\\n/]*")}|${SPACES}`,
  // Phi-4
  "'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}++|\\p{N}{1,3}+| ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*+|\\s++$|\\s*[\\r\\n]|\\s+(?!\\S)|\\s",
  // DeepSeek V3 and R1
  "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
]);

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
