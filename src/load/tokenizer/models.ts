import { ModelFileError } from "../../base/errors.ts";
import { BytePairModel } from "./bpe.ts";
import type { Fields } from "./fields.ts";
import type { TokenModel } from "./token-model.ts";
import { UnigramModel } from "./unigram.ts";
import { WordLevelModel, WordPieceModel } from "./word-models.ts";

/** @throws ModelFileError when the model is unknown or inconsistent. */
export function createModel(fields: Fields): TokenModel {
  const model = modelOf(fields);
  if (model.vocabulary.size === 0)
    throw new ModelFileError(`reading ${fields.place}: the vocabulary is empty`);
  return model;
}

function modelOf(fields: Fields): TokenModel {
  switch (fields.optionalText("type") ?? inferType(fields)) {
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

/** Infers the model of old files, which name no type. */
function inferType(fields: Fields): string {
  if (Array.isArray(fields.raw("vocab"))) return "Unigram";
  if (fields.raw("merges") !== undefined) return "BPE";
  return fields.raw("continuing_subword_prefix") !== undefined ? "WordPiece" : "WordLevel";
}
