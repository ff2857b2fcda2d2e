/** The interface of all models of `tokenizers`. */
export interface TokenModel {
  readonly kind: "BPE" | "Unigram" | "WordPiece" | "WordLevel";
  readonly vocabulary: ReadonlyMap<string, number>;
  /** Appends the ids of one piece. */
  encode(piece: string, ids: number[]): void;
  /**
   * Returns true if every occurrence of a character is part of a token: the model neither drops it nor fuses several
   * into one unknown token.
   */
  covers(point: string): boolean;
}
