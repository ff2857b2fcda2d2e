import { ModelFileError } from "../../base/errors.ts";
import type { ChatTemplate } from "../chat-template.ts";
import type { JsonObject } from "../json-file.ts";
import type { Tokenizer } from "../tokenizer.ts";

/**
 * Metadata of a GGUF file by key. Texts are strings, integers are numbers or bigints, arrays of texts are lists of strings,
 * arrays of numbers are lists or typed arrays.
 */
export type GgufMetadata = ReadonlyMap<string, unknown>;

/** What a GGUF file says about text, in the forms that a Hugging Face checkpoint has. */
export interface GgufText {
  /** undefined when the file has no vocabulary (`no_vocab`, or none is named): requests then use token ids only. */
  readonly tokenizer: Tokenizer | undefined;
  readonly chatTemplate: ChatTemplate | undefined;
  /** Tokens that end an answer: eos, eot, eom and the tokens of those names in the vocabulary. */
  readonly eosTokenIds: readonly number[];
  /** Contents in the spelling of tokenizer_config.json, for reports. */
  readonly tokenizerConfig: JsonObject;
}

/**
 * Creates the tokenizer and the chat template of a GGUF file from its metadata.
 * @param fileName names the file in messages
 * @throws ModelFileError when the metadata make no tokenizer; ConfigError when its kind or its pre-tokenizer is not supported
 */
export function createGgufTokenizer(_metadata: GgufMetadata, fileName: string): GgufText {
  throw new ModelFileError(`reading ${fileName}: its vocabulary is not read yet`);
}
