import { readFileSync } from "node:fs";
import type { ConstraintSpec, TokenConstraint } from "../../src/constraint/constraint.ts";
import { ConstraintCompiler } from "../../src/constraint/constraint-compiler.ts";
import { createTokenizer, type Tokenizer } from "../../src/load/tokenizer.ts";

/** The tokenizer of a golden file: of one kind of model, with some 500 tokens. */
export function openTokenizer(kind: string): Tokenizer {
  const text = readFileSync(new URL(`../golden/tokenizer-kinds/${kind}.json`, import.meta.url), "utf8");
  return createTokenizer(JSON.parse(text).tokenizer, {}, kind);
}

/** A tokenizer whose tokens are the 256 bytes, some texts, and "<end>", which ends an output. */
export function byteTokenizer(texts: readonly string[] = [], markers: readonly string[] = []): Tokenizer {
  const letters = Array.from({ length: 256 }, (_, byte) => letterOf(byte));
  const names = [...letters, ...texts.map((text) => lettersOf(text))];
  const vocab = Object.fromEntries(names.map((name, id) => [name, id]));
  const added = ["<end>", ...markers].map((content, i) => ({ id: names.length + i, content, special: true }));
  const model = { type: "BPE", vocab, merges: [] };
  return createTokenizer({ model, added_tokens: added, decoder: { type: "ByteLevel" } }, {}, "bytes");
}

const isPrintable = (byte: number): boolean =>
  (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || (byte >= 0xae && byte <= 0xff);
const UNPRINTABLE = Array.from({ length: 256 }, (_, byte) => byte).filter((byte) => !isPrintable(byte));

function letterOf(byte: number): string {
  return String.fromCharCode(isPrintable(byte) ? byte : 0x100 + UNPRINTABLE.indexOf(byte));
}

const lettersOf = (text: string): string => Array.from(new TextEncoder().encode(text), letterOf).join("");

/** A tokenizer, and what compiles constraints over it. */
export interface TestVocabulary {
  readonly tokenizer: Tokenizer;
  readonly compiler: ConstraintCompiler;
  readonly size: number;
}

export async function openVocabulary(tokenizer: Tokenizer): Promise<TestVocabulary> {
  const size = tokenizer.outputBytes?.()?.size ?? 0;
  return { tokenizer, compiler: await ConstraintCompiler.open(tokenizer), size };
}

/** A constraint over a vocabulary, with what a test needs to run it. */
export interface Trial {
  readonly tokenizer: Tokenizer;
  readonly constraint: TokenConstraint;
  /** Ids of the vocabulary. */
  readonly size: number;
  readonly endId: number;
}

export function startTrial(spec: ConstraintSpec, vocabulary: TestVocabulary, end = "<end>"): Trial {
  const { tokenizer, compiler, size } = vocabulary;
  const endId = tokenizer.tokenId(end);
  if (endId === undefined) throw new Error(`the tokenizer has no ${end}`);
  const constraint = compiler.compile(spec, { endIds: [endId], isAtStart: true });
  return { tokenizer, constraint, size, endId };
}

/** Numbers in [0, 1) that depend on the seed alone. */
export function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

export const isAllowed = (mask: Uint32Array, id: number): boolean =>
  (((mask[id >>> 5] ?? 0) >>> (id & 31)) & 1) === 1;

export function allowedIds({ constraint, size }: Trial): readonly number[] {
  const mask = new Uint32Array(Math.ceil(size / 32)).fill(0xffffffff);
  constraint.fillMask(mask);
  return Array.from({ length: size }, (_, id) => id).filter((id) => isAllowed(mask, id));
}

/** Tokens that close what is open. */
const CLOSING = /^["}\]]+$/;
/** Tokens after which a walk closes what it can, and after which it fails. */
const RANDOM_TOKENS = 40;
const MAX_TOKENS = 3000;

/**
 * Takes random allowed tokens until the end-of-sequence token comes, and returns the text. Checks at each step that a token is
 * allowed, that the end is allowed exactly if the constraint is complete, and that some tokens are accepted exactly if allowed.
 */
export function walk(start: Trial, random: () => number): string {
  const { tokenizer, size, endId } = start;
  const trial = { ...start, constraint: start.constraint.clone() };
  const { constraint } = trial;
  const ids: number[] = [];
  for (;;) {
    const allowed = allowedIds(trial);
    const fail = (what: string) => new Error(`${what}, behind ${tokenizer.decode(ids)}`);
    if (allowed.length === 0) throw fail("no token is allowed");
    if (allowed.includes(endId) !== constraint.isComplete)
      throw fail("the end is allowed elsewhere than at the end");
    for (let i = 0; i < 3; i++) {
      const id = Math.floor(random() * size);
      if (constraint.clone().accept(id) !== allowed.includes(id))
        throw fail(`${tokenizer.token(id)} is not accepted exactly if it is allowed`);
    }
    const isClosing = ids.length >= RANDOM_TOKENS;
    const closing =
      isClosing && random() < 0.7 ? allowed.filter((id) => CLOSING.test(tokenizer.token(id) ?? "")) : [];
    const from = closing.length > 0 ? closing : allowed;
    const chosen =
      isClosing && constraint.isComplete ? endId : (from[Math.floor(random() * from.length)] ?? -1);
    if (!constraint.accept(chosen)) throw fail(`${tokenizer.token(chosen)} is allowed and not accepted`);
    if (chosen === endId) return tokenizer.decode(ids);
    ids.push(chosen);
    if (ids.length > MAX_TOKENS) throw fail(`no end after ${MAX_TOKENS} tokens`);
  }
}

/** True if a constraint accepts a text byte by byte, and may end there. */
export function acceptsText({ constraint }: Trial, text: string): boolean {
  const copy = constraint.clone();
  for (const byte of new TextEncoder().encode(text)) if (!copy.accept(byte)) return false;
  return copy.isComplete;
}
