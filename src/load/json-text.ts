/**
 * Checks on a JSON text before it is parsed. `JSON.parse` accepts any depth and any number of values; the code that walks
 * the result, and the memory that holds it, are limited.
 */

export interface JsonLimits {
  readonly maxDepth: number;
  /** Counts arrays, objects and their elements. */
  readonly maxValues: number;
}

/** Far above real checkpoints: their files nest 8 levels; the largest tokenizer.json has 2 million values. */
export const JSON_LIMITS: JsonLimits = { maxDepth: 128, maxValues: 8_000_000 };

/** Describes the limit that a text exceeds; undefined when it exceeds none. Linear time; accepts invalid JSON. */
export function findExcess(json: string, { maxDepth, maxValues }: JsonLimits): string | undefined {
  let depth = 0;
  let values = 0;
  for (let i = 0; i < json.length; i++) {
    switch (json.charCodeAt(i)) {
      case QUOTE:
        i = endOfText(json, i);
        break;
      case OPEN_BRACE:
      case OPEN_BRACKET:
        if (++values > maxValues) return `it holds more than ${maxValues} values`;
        if (++depth > maxDepth) return `it is nested deeper than ${maxDepth} levels`;
        break;
      case CLOSE_BRACE:
      case CLOSE_BRACKET:
        depth--;
        break;
      case COMMA:
        if (++values > maxValues) return `it holds more than ${maxValues} values`;
    }
  }
  return undefined;
}

/** Finds a key that one object of a valid JSON text has twice. `JSON.parse` would keep the last without an error. */
export function findDuplicateKey(json: string): string | undefined {
  const open: Set<string>[] = [];
  for (let i = 0; i < json.length; i++) {
    const code = json.charCodeAt(i);
    if (code === OPEN_BRACE) open.push(new Set());
    else if (code === CLOSE_BRACE) open.pop();
    else if (code === QUOTE) {
      const end = endOfText(json, i);
      if (isBeforeColon(json, end)) {
        const key = String(JSON.parse(json.slice(i, end + 1)));
        const keys = open[open.length - 1];
        if (keys?.has(key)) return key;
        keys?.add(key);
      }
      i = end;
    }
  }
  return undefined;
}

/**
 * Puts NaN, Infinity and -Infinity in quotes: Python writes them, JSON has no such values. A reader that expects a number
 * then refuses the text and quotes it.
 */
export function quoteNonFinite(json: string): string {
  const parts: string[] = [];
  let from = 0;
  for (let i = 0; i < json.length; i++) {
    const code = json.charCodeAt(i);
    if (code === QUOTE) i = endOfText(json, i);
    else if (code === CAPITAL_N || code === CAPITAL_I || code === MINUS) {
      const word = ["NaN", "Infinity", "-Infinity"].find((one) => json.startsWith(one, i));
      if (word === undefined) continue;
      parts.push(json.slice(from, i), `"${word}"`);
      from = i + word.length;
      i = from - 1;
    }
  }
  return parts.length === 0 ? json : parts.join("") + json.slice(from);
}

const QUOTE = 0x22;
const COMMA = 0x2c;
const MINUS = 0x2d;
const CAPITAL_I = 0x49;
const CAPITAL_N = 0x4e;
const OPEN_BRACKET = 0x5b;
const BACKSLASH = 0x5c;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;

/** Returns the index of the closing quote of the string at `start`, or the last index of the JSON if it is not closed. */
function endOfText(json: string, start: number): number {
  let end = start;
  for (;;) {
    end = json.indexOf('"', end + 1);
    if (end < 0) return json.length - 1;
    let before = end - 1;
    while (json.charCodeAt(before) === BACKSLASH) before--;
    if ((end - before) % 2 === 1) return end; // backslashes in pairs are literal, so the quote counts
  }
}

function isBeforeColon(json: string, end: number): boolean {
  let at = end + 1;
  while (at < json.length && " \t\r\n".includes(json.charAt(at))) at++;
  return json.charAt(at) === ":";
}
