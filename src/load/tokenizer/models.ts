/** What all models of `tokenizers` have in common. */
import { ModelFileError } from "../../base/errors.ts";
import { BytePairModel } from "./bpe.ts";
import type { Fields } from "./fields.ts";
import { UnigramModel } from "./unigram.ts";
import { WordLevelModel, WordPieceModel } from "./word-models.ts";

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

/** @throws ModelFileError when the model is unknown or does not hold together. */
export function createModel(fields: Fields): TokenModel {
  const model = modelOf(fields);
  if (model.vocabulary.size === 0)
    throw new ModelFileError(`reading ${fields.place}: the vocabulary is empty`);
  return model;
}

function modelOf(fields: Fields): TokenModel {
  switch (fields.optionalText("type") ?? guessed(fields)) {
    case "BPE":
      return new BytePairModel(fields);
    case "Unigram":
      return new UnigramModel(fields);
    case "WordPiece":
      return new WordPieceModel(fields);
    case "WordLevel":
      return new WordLevelModel(fields);
    default:
      return fields.unknownType("model");
  }
}

/** Old files name no type. */
function guessed(fields: Fields): string {
  if (Array.isArray(fields.raw("vocab"))) return "Unigram";
  if (fields.raw("merges") !== undefined) return "BPE";
  return fields.raw("continuing_subword_prefix") !== undefined ? "WordPiece" : "WordLevel";
}
