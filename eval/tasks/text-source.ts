/** Text of any length in tokens of a model: prose of our own, or a file of the user's. */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import { ConfigError } from "../../src/node/index.ts";
import { Random } from "../problems/random.ts";
import type { SolverTokenizer } from "../run/solver.ts";
import { paragraph } from "./prose.ts";

/** Characters tokenised at once: a tokenizer's time may grow faster than the text. Never by the count, which must not change tokens. */
const PART_CHARS = 8192;
const MAX_FILE_BYTES = 256 << 20;

export interface TextSource {
  /** What decides the text. JSON. */
  readonly settings: Readonly<Record<string, unknown>>;
  /** For messages: "prose", or the file's path. */
  readonly name: string;
  /**
   * Returns at least `count` tokens, or all that there are.
   * document: number of a text of its own; a file has one text, of which each document begins elsewhere.
   */
  tokens(tokenizer: SolverTokenizer, count: number, document: number): number[];
}

/** @throws ConfigError if the file cannot be read, or holds no text */
export async function openText(file: string | undefined, seed: number): Promise<TextSource> {
  if (file === undefined) return { name: "prose", settings: { text: "prose" }, tokens: proseTokens(seed) };
  let bytes: Buffer;
  try {
    bytes = await readFile(file);
  } catch (cause) {
    throw new ConfigError(`--text-file ${file}: cannot read it: ${String(cause)}`, { cause });
  }
  if (bytes.length > MAX_FILE_BYTES) throw new ConfigError(`--text-file ${file}: it has more than 256 MiB`);
  const text = bytes.toString("utf8").replaceAll("\r\n", "\n");
  if (text.trim() === "" || text.includes("\u0000"))
    throw new ConfigError(`--text-file ${file}: expected a file of plain text`);
  const sha256 = createHash("sha256").update(text).digest("hex");
  return { name: file, settings: { text: basename(file), sha256 }, tokens: fileTokens(text) };
}

function proseTokens(seed: number): TextSource["tokens"] {
  return (tokenizer, count, document) => {
    const random = new Random(seed * 1_000_003 + document);
    return collect(tokenizer, count, () => {
      let part = "";
      while (part.length < PART_CHARS) part += `${paragraph(random)}\n\n`;
      return part;
    });
  };
}

function fileTokens(text: string): TextSource["tokens"] {
  return (tokenizer, count, document) => {
    // Documents begin a golden section of the text apart, at the start of a paragraph or a line.
    const near = Math.floor(((document * 0.618_033_988_75) % 1) * text.length);
    const line = text.indexOf("\n", near);
    let at = document === 0 || line < 0 ? 0 : line + 1;
    let left = text.length;
    return collect(tokenizer, count, () => {
      if (left <= 0) return undefined;
      if (at >= text.length) at = 0;
      const part = wholeWords(text.slice(at, at + Math.min(PART_CHARS, left)));
      at += part.length;
      left -= part.length;
      return part;
    });
  };
}

function collect(tokenizer: SolverTokenizer, count: number, next: () => string | undefined): number[] {
  const ids: number[] = [];
  while (ids.length < count) {
    const part = next();
    if (part === undefined) break;
    for (const id of tokenizer.encode(part, { addSpecialTokens: false })) ids.push(id);
  }
  return ids;
}

/** A full part up to before its last blank: a word is not cut, and blanks are of the word behind them. */
function wholeWords(part: string): string {
  const end = part.length < PART_CHARS ? -1 : part.search(/\s\S*$/);
  return end > 0 ? part.slice(0, end) : part;
}

/** The tokens that the tokenizer puts before every text, such as BOS. */
export function startTokens(tokenizer: SolverTokenizer): number[] {
  return tokenizer.encode("", { addSpecialTokens: true });
}

/** The model's tokenizer. @throws ConfigError if the solver has none */
export function requireTokenizer(tokenizer: SolverTokenizer | undefined, task: string): SolverTokenizer {
  if (tokenizer !== undefined) return tokenizer;
  throw new ConfigError(`${task} forces tokens of the model, and the model's tokenizer is not known here`);
}
