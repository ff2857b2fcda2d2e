/** Added tokens, which are found in a text before any other step. */
import { ModelFileError } from "../../base/errors.ts";
import { isObject } from "../../base/is-object.ts";
import { printValue } from "../../base/print-value.ts";
import { templateTokens, tokenText } from "../special-tokens.ts";
import { Fields, MAX_TOKEN_ID } from "./fields.ts";
import type { Normalizer } from "./normalizers.ts";

/** Maximum characters of all added tokens together, which take 250 bytes each. Gemma's 6,415 tokens have 90,000. */
const MAX_CHARACTERS = 2 ** 19;

export interface AddedToken {
  readonly content: string;
  readonly id: number;
  /** Matches only between word boundaries. */
  readonly isWord: boolean;
  /** Includes the white space before the token (`takesLeft`) and after it (`takesRight`). */
  readonly takesLeft: boolean;
  readonly takesRight: boolean;
  readonly isSpecial: boolean;
  /** Matches normalised text instead of the input. */
  readonly isNormalized: boolean;
}

/**
 * Reads the added tokens of tokenizer.json, then those that transformers adds from tokenizer_config.json: the entries of
 * `added_tokens_decoder`, the special tokens by name, and `extra_special_tokens`.
 * A token gets its id as in `tokenizers`: the vocabulary's, else the next free one. The ids in the files are ignored.
 */
export function readAddedTokens(
  file: Fields,
  config: Fields,
  vocabulary: ReadonlyMap<string, number>,
): readonly AddedToken[] {
  const added = new Map<string, AddedToken>();
  let next = vocabulary.size;
  let characters = 0;
  const add = (token: Omit<AddedToken, "id">) => {
    characters += token.content.length;
    if (characters > MAX_CHARACTERS)
      throw new ModelFileError(
        `reading ${file.place}: its added tokens have more than ${MAX_CHARACTERS} characters; download the file again`,
      );
    const id = vocabulary.get(token.content) ?? added.get(token.content)?.id ?? next;
    if (id > MAX_TOKEN_ID)
      throw new ModelFileError(`reading ${file.place}: it has more than ${MAX_TOKEN_ID + 1} tokens`);
    next = Math.max(next, id + 1);
    added.delete(token.content);
    if (token.content !== "") added.set(token.content, { ...token, id });
  };
  const entries = file.raw("added_tokens") == null ? [] : file.list("added_tokens", MAX_TOKEN_ID + 1);
  for (const [i, entry] of entries.entries()) {
    const place = `${file.place}, added_tokens[${i}]`;
    add(readToken(entry, place));
    new Fields(isObject(entry) ? entry : {}, place).count("id", undefined, MAX_TOKEN_ID);
  }
  for (const token of tokensOfConfig(config)) {
    const known = added.get(token.content);
    if (!known || !isSame(known, token)) add(token);
  }
  const { named, listed } = specialNames(config);
  for (const content of [...named, ...listed]) {
    const known = added.get(content);
    if (!known)
      add({
        content,
        isWord: false,
        takesLeft: false,
        takesRight: false,
        isSpecial: true,
        isNormalized: false,
      });
    else if (named.includes(content) && config.raw("added_tokens_decoder") === undefined)
      added.set(content, { ...known, isSpecial: true });
  }
  return [...added.values()];
}

function readToken(entry: unknown, place: string): Omit<AddedToken, "id"> {
  if (!isObject(entry))
    throw new ModelFileError(`reading ${place}: expected an object, got ${printValue(entry)}`);
  const fields = new Fields(entry, place);
  const isSpecial = fields.flag("special", false);
  return {
    content: fields.text("content"),
    isWord: fields.flag("single_word", false),
    takesLeft: fields.flag("lstrip", false),
    takesRight: fields.flag("rstrip", false),
    isSpecial,
    isNormalized: fields.flag("normalized", !isSpecial),
  };
}

function tokensOfConfig(config: Fields): readonly Omit<AddedToken, "id">[] {
  const entries = config.raw("added_tokens_decoder");
  if (!isObject(entries)) return [];
  const ids = Object.keys(entries).sort((a, b) => Number(a) - Number(b));
  return ids.map((id) => readToken(entries[id], `${config.place}, added_tokens_decoder[${printValue(id)}]`));
}

const isSame = (a: Omit<AddedToken, "id">, b: Omit<AddedToken, "id">): boolean =>
  a.isWord === b.isWord &&
  a.takesLeft === b.takesLeft &&
  a.takesRight === b.takesRight &&
  a.isSpecial === b.isSpecial &&
  a.isNormalized === b.isNormalized;

/** Reads special tokens by name, and listed ones. As in transformers, a list changes no token that already exists. */
function specialNames({ values }: Fields): { named: readonly string[]; listed: readonly string[] } {
  const extra = values.extra_special_tokens ?? values.additional_special_tokens;
  const texts = Array.isArray(extra) ? extra.map(tokenText) : [];
  return {
    named: [...templateTokens(values, {}).values()].filter((text) => text !== ""),
    listed: texts.filter((text) => text !== undefined && text !== "").map(String),
  };
}

/** A section of a split text: a token's id, or text with its start in UTF-16 units. */
export type Part = { readonly id: number } | { readonly text: string; readonly start: number };

interface Node {
  readonly children: Map<number, Node>;
  token: AddedToken | undefined;
}

const WORD = "[\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\p{Join_Control}]";
const ENDS_IN_WORD = new RegExp(`${WORD}$`, "u");
const BEGINS_WITH_WORD = new RegExp(`^${WORD}`, "u");
const IS_SPACE = /^\p{White_Space}$/u;

/** Splits texts at added tokens: leftmost first, and the longest that begins there. */
export class AddedTokenSplitter {
  readonly #root: Node = { children: new Map(), token: undefined };

  /** normalize: normalises the tokens themselves, for splitting normalised texts. */
  constructor(tokens: readonly AddedToken[], normalize?: Normalizer) {
    for (const token of tokens) this.#insert(normalize?.(token.content) ?? token.content, token);
  }

  #insert(content: string, token: AddedToken): void {
    let node = this.#root;
    for (let i = 0; i < content.length; i++) {
      const unit = content.charCodeAt(i);
      let child = node.children.get(unit);
      if (!child) {
        child = { children: new Map(), token: undefined };
        node.children.set(unit, child);
      }
      node = child;
    }
    if (node !== this.#root) node.token = token;
  }

  #longestAt(text: string, start: number): { token: AddedToken; end: number } | undefined {
    let node = this.#root.children.get(text.charCodeAt(start));
    let found: { token: AddedToken; end: number } | undefined;
    for (let i = start + 1; node; node = node.children.get(text.charCodeAt(i++)))
      if (node.token) found = { token: node.token, end: i };
    return found;
  }

  split(text: string): readonly Part[] {
    const parts: Part[] = [];
    let from = 0;
    for (let at = 0; at < text.length; ) {
      const found = this.#longestAt(text, at);
      if (!found) {
        at++;
        continue;
      }
      const { token, end } = found;
      const stop = this.#pushMatch(text, at, end, token, from, parts);
      at = end;
      if (stop !== undefined) from = stop;
    }
    if (from < text.length) parts.push({ text: text.slice(from), start: from });
    return parts;
  }

  /** Appends a token and the text before it. Returns the end of the match, or undefined if a word boundary is missing. */
  #pushMatch(
    text: string,
    at: number,
    end: number,
    token: AddedToken,
    from: number,
    parts: Part[],
  ): number | undefined {
    if (
      token.isWord &&
      (ENDS_IN_WORD.test(text.slice(Math.max(0, at - 2), at)) ||
        BEGINS_WITH_WORD.test(text.slice(end, end + 2)))
    )
      return undefined;
    let start = at;
    let stop = end;
    while (token.takesLeft && start > from && IS_SPACE.test(text[start - 1] ?? "")) start--;
    while (token.takesRight && stop < text.length && IS_SPACE.test(text[stop] ?? "")) stop++;
    if (start > from) parts.push({ text: text.slice(from, start), start: from });
    parts.push({ id: token.id });
    return stop;
  }
}
