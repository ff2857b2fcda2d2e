import { type Fields, readVocabulary } from "./fields.ts";
import type { TokenModel } from "./token-model.ts";

/** Maps a whole word to its token, or to the unknown token. */
export class WordLevelModel implements TokenModel {
  readonly kind = "WordLevel";
  readonly vocabulary: ReadonlyMap<string, number>;
  readonly #unknown: number | undefined;

  constructor(fields: Fields) {
    this.vocabulary = readVocabulary(fields, "vocab");
    this.#unknown = this.vocabulary.get(fields.text("unk_token", "<unk>"));
  }

  covers(): boolean {
    return false;
  }

  encode(piece: string, ids: number[]): void {
    const id = this.vocabulary.get(piece) ?? this.#unknown;
    if (id !== undefined) ids.push(id);
  }
}

/** BERT's WordPiece: repeatedly takes the longest token that begins the rest of a word, else the unknown token. */
export class WordPieceModel implements TokenModel {
  readonly kind = "WordPiece";
  readonly vocabulary: ReadonlyMap<string, number>;
  readonly #unknown: number | undefined;
  readonly #prefix: string;
  readonly #longestWord: number;
  /** UTF-16 units of the longest token, which bound the code points of a lookup. */
  readonly #longestToken: number;

  constructor(fields: Fields) {
    this.vocabulary = readVocabulary(fields, "vocab");
    this.#unknown = this.vocabulary.get(fields.text("unk_token", "[UNK]"));
    this.#prefix = fields.text("continuing_subword_prefix", "##");
    this.#longestWord = fields.count("max_input_chars_per_word", 100, Number.MAX_SAFE_INTEGER);
    let longest = 0;
    for (const token of this.vocabulary.keys()) longest = Math.max(longest, token.length);
    this.#longestToken = longest;
  }

  covers(): boolean {
    return false;
  }

  encode(piece: string, ids: number[]): void {
    const points = Array.from(piece);
    const made = points.length > this.#longestWord ? undefined : this.#pieces(points);
    if (made) ids.push(...made);
    else if (this.#unknown !== undefined) ids.push(this.#unknown);
  }

  #pieces(points: readonly string[]): readonly number[] | undefined {
    const ids: number[] = [];
    for (let start = 0; start < points.length; ) {
      let end = Math.min(points.length, start + this.#longestToken);
      let id: number | undefined;
      for (; end > start; end--) {
        id = this.vocabulary.get((start > 0 ? this.#prefix : "") + points.slice(start, end).join(""));
        if (id !== undefined) break;
      }
      if (id === undefined) return undefined;
      ids.push(id);
      start = end;
    }
    return ids;
  }
}
