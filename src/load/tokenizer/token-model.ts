/** What all models of `tokenizers` have in common. */
export interface TokenModel {
  readonly kind: "BPE" | "Unigram" | "WordPiece" | "WordLevel";
  readonly vocabulary: ReadonlyMap<string, number>;
  /** Appends the ids of one piece. */
  encode(piece: string, ids: number[]): void;
  /**
   * Whether a text of these characters surely gives tokens that cover them: neither dropped, nor many in one unknown
   * token.
   */
  covers(point: string): boolean;
}
