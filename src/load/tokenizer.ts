import { ModelFileError } from "../base/errors.ts";
import type { JsonObject } from "./json-file.ts";
import { type AddedToken, AddedTokenSplitter, readAddedTokens } from "./tokenizer/added-tokens.ts";
import type { Decoder, DecodeStep } from "./tokenizer/decode-step.ts";
import { chain, cleanUp, createDecoder, spacedDecoder } from "./tokenizer/decoders.ts";
import { Fields } from "./tokenizer/fields.ts";
import { lossesOf } from "./tokenizer/losses.ts";
import { createModel } from "./tokenizer/models.ts";
import { createNormalizer, type Normalizer } from "./tokenizer/normalizers.ts";
import { type OutputBytes, outputBytes } from "./tokenizer/output-bytes.ts";
import { createPostProcessor } from "./tokenizer/post-processors.ts";
import { createPreTokenizer } from "./tokenizer/pre-tokenizers.ts";
import { createTokenBound } from "./tokenizer/token-bound.ts";
import type { TokenModel } from "./tokenizer/token-model.ts";

/** How to make text of tokens. */
export interface DecodeOptions {
  /** Omits special tokens from the text. Default false. */
  readonly skipSpecialTokens?: boolean;
}

/** Decodes tokens one by one. All texts of `push` and `end` join to `decode` of all tokens. */
export interface DecodeStream {
  /** Returns the text that no later token can change; may be empty. Time and memory are linear in the tokens. */
  push(tokenId: number): string;
  /** Returns the text held back, e.g. U+FFFD for the bytes of an unfinished character, and resets the stream. */
  end(): string;
}

/** Converts text to token ids and back, as Hugging Face's `tokenizers` and transformers do. */
export interface Tokenizer {
  /** addSpecialTokens: runs the tokenizer's post-processor, which adds tokens such as BOS. Default true. */
  encode(text: string, options?: { readonly addSpecialTokens?: boolean }): number[];
  /** Ids without a token (padding of the vocabulary) decode to no text. */
  decode(ids: ArrayLike<number>, options?: DecodeOptions): string;
  /** Begins a text that comes token by token. */
  decodeStream(options?: DecodeOptions): DecodeStream;
  /** Returns a lower bound on the number of tokens of `encode` without special tokens, at a small part of its cost. */
  minTokens(text: string): number;
  /** Returns the id of a token by its spelling in the vocabulary. */
  tokenId(token: string): number | undefined;
  /** Returns the spelling of a token in the vocabulary. */
  token(id: number): string | undefined;
  /**
   * Describes tokens as bytes of the output. Undefined if a token's text depends on those around it; left out by tokenizers that
   * cannot tell.
   */
  outputBytes?(): OutputBytes | undefined;
}

/**
 * Creates a tokenizer from the contents of tokenizer.json and tokenizer_config.json: BPE, Unigram, WordPiece and
 * WordLevel models with the steps of `tokenizers` 0.23. Its ids and texts equal Python's, except:
 * - Lone surrogates, which Python refuses, become U+FFFD.
 * - Unicode tables are those of the JavaScript engine.
 * - Regular expressions with \G, \K, \X, back references or the flag x are refused.
 * Every id, count and type of the files is checked before use (bounds in `tokenizer/fields.ts`); every pattern runs in
 * linear time (`tokenizer/pattern.ts`).
 * @throws ModelFileError naming the file when the contents are not a valid tokenizer.
 */
export function createTokenizer(tokenizerJson: JsonObject, config: JsonObject, fileName: string): Tokenizer {
  const file = new Fields(tokenizerJson, fileName);
  const modelFields = file.child("model");
  if (!modelFields)
    throw new ModelFileError(
      `reading ${fileName}: its contents make no tokenizer, there is no model; download the file again`,
    );
  const model = createModel(modelFields);
  const added = readAddedTokens(file, new Fields(config, configName(fileName)), model.vocabulary);
  const normalizerFields = file.child("normalizer");
  const normalize = normalizerFields && createNormalizer(normalizerFields);
  const encodeText = createEncoder(file, model, added, normalize);
  const postFields = file.child("post_processor");
  const post = postFields && createPostProcessor(postFields);
  const names = new TokenNames(model, added, normalize);
  const decoder = decoderOf(file, config, model);
  const open = (options?: DecodeOptions) =>
    new TokenStream(names, decoder, options?.skipSpecialTokens ?? false);
  let bound: ((text: string) => number) | undefined;
  return {
    encode: (text, options) => {
      const ids = encodeText(text);
      return (options?.addSpecialTokens ?? true) && post ? [...post(ids)] : ids;
    },
    decode: (ids, options) => {
      const stream = open(options);
      const parts: string[] = [];
      for (let i = 0; i < ids.length; i++) parts.push(stream.push(ids[i] ?? -1));
      return parts.join("") + stream.end();
    },
    decodeStream: open,
    minTokens: (text) => {
      bound ??= createTokenBound(model, added, normalize, lossesOf(file, added));
      return bound(normalize?.(text) ?? text);
    },
    tokenId: (token) => names.idOf(token),
    token: (id) => names.nameOf(id),
    outputBytes: () =>
      outputBytes(file.child("decoder"), decoder, cleansUp(config, model), {
        size: names.size,
        nameOf: (id) => names.nameOf(id),
        added,
      }),
  };
}

const configName = (fileName: string): string =>
  fileName.replace(/tokenizer\.json$/, "tokenizer_config.json");

const LONE_SURROGATE = /\p{Surrogate}/gu;

function createEncoder(
  file: Fields,
  model: TokenModel,
  added: readonly AddedToken[],
  normalize: Normalizer | undefined,
): (text: string) => number[] {
  const raw = new AddedTokenSplitter(added.filter((token) => !token.isNormalized));
  const normalized = new AddedTokenSplitter(
    added.filter((token) => token.isNormalized),
    normalize,
  );
  const preFields = file.child("pre_tokenizer");
  const preTokenize = preFields && createPreTokenizer(preFields);
  return (text) => {
    const ids: number[] = [];
    for (const part of raw.split(text.replace(LONE_SURROGATE, "\ufffd"))) {
      if ("id" in part) {
        ids.push(part.id);
        continue;
      }
      for (const inner of normalized.split(normalize?.(part.text) ?? part.text)) {
        if ("id" in inner) ids.push(inner.id);
        else {
          const isFirst = part.start === 0 && inner.start === 0;
          for (const piece of preTokenize?.(inner.text, isFirst) ?? [inner.text]) model.encode(piece, ids);
        }
      }
    }
    return ids;
  };
}

/**
 * Creates the decoder of the file, followed by transformers' clean-up of white space when tokenizer_config.json asks for
 * it. BPE models get no clean-up, except by the config key whose name warns that it corrupts output.
 */
function decoderOf(file: Fields, config: JsonObject, model: TokenModel): Decoder {
  const fields = file.child("decoder");
  const decoder = fields ? createDecoder(fields) : spacedDecoder;
  return cleansUp(config, model) ? chain([decoder, cleanUp]) : decoder;
}

function cleansUp(config: JsonObject, { kind }: TokenModel): boolean {
  const insists = config.clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output === true;
  return config.clean_up_tokenization_spaces === true && (kind !== "BPE" || insists);
}

/** Looks up tokens by id and ids by token. Added tokens take precedence over the vocabulary. */
class TokenNames {
  readonly #ids: ReadonlyMap<string, number>;
  readonly #addedIds = new Map<string, number>();
  readonly #names: (string | undefined)[] = [];
  readonly #special = new Set<string>();

  constructor(model: TokenModel, added: readonly AddedToken[], normalize: Normalizer | undefined) {
    this.#ids = model.vocabulary;
    for (const [token, id] of model.vocabulary) this.#names[id] = token;
    for (const { content, id, isSpecial, isNormalized } of added) {
      // `tokenizers` decodes a token that matches normalised text to its normalised form
      this.#names[id] = isNormalized ? (normalize?.(content) ?? content) : content;
      this.#addedIds.set(content, id);
      if (isSpecial) this.#special.add(content);
    }
  }

  idOf(token: string): number | undefined {
    return this.#addedIds.get(token) ?? this.#ids.get(token);
  }

  nameOf(id: number): string | undefined {
    return this.#names[id];
  }

  /** One more than the largest id. */
  get size(): number {
    return this.#names.length;
  }

  isSpecial(token: string): boolean {
    return this.#special.has(token);
  }
}

class TokenStream implements DecodeStream {
  readonly #names: TokenNames;
  readonly #decoder: Decoder;
  readonly #skipsSpecial: boolean;
  #steps: DecodeStep;

  constructor(names: TokenNames, decoder: Decoder, skipsSpecial: boolean) {
    this.#names = names;
    this.#decoder = decoder;
    this.#skipsSpecial = skipsSpecial;
    this.#steps = decoder.open(false);
  }

  push(tokenId: number): string {
    const token = this.#names.nameOf(tokenId);
    if (token === undefined || (this.#skipsSpecial && this.#names.isSpecial(token))) return "";
    return this.#steps.push(token).join("");
  }

  end(): string {
    const text = this.#steps.end().join("");
    this.#steps = this.#decoder.open(false);
    return text;
  }
}
