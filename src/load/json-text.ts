/**
 * Looks over a JSON text before it is parsed. `JSON.parse` takes any depth and any number of values; what walks the
 * result afterwards, and the memory that holds it, do not.
 */

export interface JsonLimits {
  readonly maxDepth: number;
  /** Of arrays, objects and what stands in them. */
  readonly maxValues: number;
}

/** Far above what checkpoints hold: their files nest 8 levels; the largest tokenizer.json has 2 million values. */
export const JSON_LIMITS: JsonLimits = { maxDepth: 128, maxValues: 8_000_000 };

/** What is wrong with the text's size; undefined where nothing is. Linear; the text need not be valid. */
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

/** A key that stands twice in one object of a valid JSON text, or undefined. `JSON.parse` would keep the last. */
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
 * The text with NaN, Infinity and -Infinity as texts: Python writes them, JSON has no such values. Where a number is
 * needed, the text is refused by its name.
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

/** Where the text that begins at `start` has its closing quote; the last place of the JSON where it has none. */
function endOfText(json: string, start: number): number {
  let end = start;
  for (;;) {
    end = json.indexOf('"', end + 1);
    if (end < 0) return json.length - 1;
    let before = end - 1;
    while (json.charCodeAt(before) === BACKSLASH) before--;
    if ((end - before) % 2 === 1) return end; // an even number of backslashes stand for themselves
  }
}

function isBeforeColon(json: string, end: number): boolean {
  let at = end + 1;
  while (at < json.length && " \t\r\n".includes(json.charAt(at))) at++;
  return json.charAt(at) === ":";
}
