import { ModelFileError } from "../../base/errors.ts";
import { printValue } from "../../base/print-value.ts";
import { type CheckpointTemplate, createChatTemplate } from "../chat-template.ts";
import type { JsonObject } from "../json-file.ts";
import { CachedMerges } from "../tokenizer/cached-merges.ts";
import { listedMerges, scoredMerges } from "../tokenizer/merge-rules.ts";
import { createTokenizer, type Tokenizer } from "../tokenizer.ts";
import { endTokenIds } from "./end-tokens.ts";
import { preTokenizerKind } from "./pre-tokenizers.ts";
import {
  type GgufMetadata,
  type GgufVocabulary,
  MetadataFields,
  readGgufVocabulary,
  type SpecialName,
  TOKEN_TYPE,
} from "./vocabulary.ts";

export type { GgufMetadata } from "./vocabulary.ts";

/** What a GGUF file says about text, in the forms that a Hugging Face checkpoint has. */
export interface GgufText {
  /** undefined when the file has no vocabulary (`no_vocab`, `none`, or no key): requests then use token ids only. */
  readonly tokenizer: Tokenizer | undefined;
  readonly chatTemplate: CheckpointTemplate | undefined;
  /** Tokens that end an answer; see `endTokenIds`. */
  readonly eosTokenIds: readonly number[];
  /** The file's values in the spelling of tokenizer_config.json. */
  readonly tokenizerConfig: JsonObject;
  /** Notes for people about guesses. */
  readonly notes: readonly string[];
}

/**
 * Creates the tokenizer and the chat template of a GGUF file from its metadata. Both encode and render as those of the
 * Hugging Face folder from which the file was made. llama.cpp's tokenizer differs from that where Hugging Face's
 * normalises (Qwen: NFC), where equal characters repeat and merges compete, and in the patterns that it rewrites for
 * its matcher (Tekken, GPT-4o: letters without case, marks).
 * @param fileName names the file in messages
 * @throws ModelFileError when the metadata are damaged, and when the kind of tokenizer or its pre-tokenizer is not supported
 */
export function createGgufTokenizer(metadata: GgufMetadata, fileName: string): GgufText {
  const fields = new MetadataFields(metadata, fileName);
  const model = fields.text("tokenizer.ggml.model");
  if (model === undefined || model === "no_vocab" || model === "none") {
    const chat = { tokenizerConfig: {}, chatTemplate: undefined };
    return { ...chat, tokenizer: undefined, eosTokenIds: [], notes: [] };
  }
  const kind = Object.hasOwn(KINDS, model) ? KINDS[model] : undefined;
  if (!kind)
    throw new ModelFileError(
      `reading ${fileName}: a tokenizer of the kind ${printValue(model)} is not supported; take a file whose ` +
        `tokenizer.ggml.model is one of ${Object.keys(KINDS).join(", ")}`,
    );
  const vocabulary = readGgufVocabulary(fields, kind.defaults);
  const eosTokenIds = endTokenIds(vocabulary);
  const { tokenizerJson, addsBos, keepsSpaceAfter, notes } = kind.create(vocabulary, fields);
  const tokenizerConfig = configOf(vocabulary, fields, addsBos);
  const added = {
    added_tokens: addedTokensOf(vocabulary, eosTokenIds, keepsSpaceAfter),
    post_processor: postProcessorOf(vocabulary, tokenizerConfig),
  };
  return {
    tokenizer: createTokenizer(
      { ...tokenizerJson, ...added },
      tokenizerConfig,
      `${fileName}, tokenizer.ggml`,
    ),
    chatTemplate: createChatTemplate(undefined, tokenizerConfig, fileName, {
      configName: `${fileName}, tokenizer.chat_template`,
    }),
    eosTokenIds,
    tokenizerConfig,
    notes,
  };
}

interface Steps {
  /** tokenizer.json without its added tokens. */
  readonly tokenizerJson: JsonObject;
  /** Texts begin with BOS when the file does not say. */
  readonly addsBos: boolean;
  /** Returns false for a special token that takes the white space after it. GGUF has no flag for that. */
  readonly keepsSpaceAfter: (token: string) => boolean;
  readonly notes: readonly string[];
}

interface TokenizerKind {
  /** Special tokens that a file may leave out. */
  readonly defaults: Readonly<Partial<Record<SpecialName, number>>>;
  create(vocabulary: GgufVocabulary, fields: MetadataFields): Steps;
}

const KINDS: Readonly<Record<string, TokenizerKind>> = {
  gpt2: { defaults: {}, create: byteLevelSteps },
  llama: { defaults: { bos: 1, eos: 2, unknown: 0 }, create: sentencePieceSteps },
};

/** Byte-pair encoding over the letters of bytes, with the merges of the file. */
function byteLevelSteps({ tokens, typeOf, merges }: GgufVocabulary, fields: MetadataFields): Steps {
  if (!merges)
    throw new ModelFileError(
      `reading ${fields.fileName}: its tokenizer of the kind "gpt2" has no tokenizer.ggml.merges; download the file again`,
    );
  const name = fields.text("tokenizer.ggml.pre");
  const kind = preTokenizerKind(name ?? "default", fields.fileName);
  const notes =
    name === undefined
      ? [
          `${fields.fileName} does not name its pre-tokenizer, so texts may get other tokens than in training; ` +
            "take a file made by a newer converter",
        ]
      : [];
  const vocab = vocabularyOf(tokens, typeOf);
  const place = `${fields.fileName}, tokenizer.ggml.merges`;
  const tokenizerJson = {
    normalizer: kind.normalizer ?? null,
    pre_tokenizer: kind.preTokenizer,
    decoder: { type: "ByteLevel" },
    model: {
      type: "BPE",
      vocab,
      merges: new CachedMerges(tokens, vocab, listedMerges(merges, place)),
      ignore_merges: kind.ignoresMerges ?? false,
    },
  };
  return { tokenizerJson, addsBos: kind.addsBos ?? false, keepsSpaceAfter: () => true, notes };
}

const SPACE = "▁";
const AS_SPACES = { type: "Replace", pattern: { String: SPACE }, content: " " };
const TO_SIGNS = { type: "Replace", pattern: { String: " " }, content: SPACE };

/** Special tokens of Phi-3 that do not take the white space after them, as all others do in its tokenizer.json. */
const KEEP_SPACE_IN_PHI3 = ["<unk>", "<s>", "<|endoftext|>"];

/** SentencePiece's byte-pair encoding: scores order the merges, and unknown characters become byte tokens. */
function sentencePieceSteps(vocabulary: GgufVocabulary, fields: MetadataFields): Steps {
  const { typeOf, scores, special } = vocabulary;
  const isGemma = fields.text("general.architecture")?.startsWith("gemma") ?? false;
  if (!isGemma && !scores)
    throw new ModelFileError(
      `reading ${fields.fileName}: its tokenizer of the kind "llama" has no tokenizer.ggml.scores; download the file again`,
    );
  const tokens = isGemma ? vocabulary.tokens.map(spelledBySigns) : vocabulary.tokens;
  const vocab = vocabularyOf(tokens, typeOf);
  const prefixes = fields.flag("tokenizer.ggml.add_space_prefix") ?? !isGemma;
  const unknown = special.get("unknown");
  const tokenizerJson = {
    normalizer: prefixes
      ? { type: "Sequence", normalizers: [{ type: "Prepend", prepend: SPACE }, TO_SIGNS] }
      : TO_SIGNS,
    decoder: {
      type: "Sequence",
      decoders: [
        AS_SPACES,
        { type: "ByteFallback" },
        { type: "Fuse" },
        ...(prefixes ? [{ type: "Strip", content: " ", start: 1, stop: 0 }] : []),
      ],
    },
    model: {
      type: "BPE",
      vocab,
      merges: new CachedMerges(tokens, vocab, scoredMerges(tokens, isGemma ? undefined : scores)),
      unk_token: unknown === undefined ? null : tokens[unknown],
      fuse_unk: true,
      byte_fallback: true,
    },
  };
  const isPhi3 = fields.text("general.architecture") === "phi3";
  return {
    tokenizerJson,
    addsBos: true,
    keepsSpaceAfter: (token) => !isPhi3 || KEEP_SPACE_IN_PHI3.includes(token),
    notes: [],
  };
}

const isRunOfSpaces = (token: string): boolean => token.startsWith("  ") && /^ +$/.test(token);

/**
 * Spells runs of spaces with U+2581, as Gemma's own files do; the converter wrote spaces. They are no added tokens: there,
 * they would match before the merges that lead to them.
 */
function spelledBySigns(token: string): string {
  return isRunOfSpaces(token) ? SPACE.repeat(token.length) : token;
}

/** Maps tokens to ids. The converter's padding is no token, and an empty text is none. Of equal tokens the last counts. */
function vocabularyOf(
  tokens: readonly string[],
  typeOf: (id: number) => number,
): ReadonlyMap<string, number> {
  const ids = new Map<string, number>();
  for (let id = 0; id < tokens.length; id++) {
    const token = tokens[id] ?? "";
    if (token !== "" && !(typeOf(id) === TOKEN_TYPE.unused && /^\[PAD\d+\]$/.test(token))) ids.set(token, id);
  }
  return ids;
}

/** Returns the tokens that are found in a text before anything else. Those that end answers are special whatever their type. */
function addedTokensOf(
  { tokens, typeOf }: GgufVocabulary,
  ends: readonly number[],
  keepsSpaceAfter: (token: string) => boolean,
): readonly JsonObject[] {
  const added: JsonObject[] = [];
  const isEnd = new Uint8Array(tokens.length);
  for (const id of ends) isEnd[id] = 1;
  for (let id = 0; id < tokens.length; id++) {
    const content = tokens[id] ?? "";
    const type = typeOf(id);
    const isSpecial = type === TOKEN_TYPE.control || type === TOKEN_TYPE.unknown || isEnd[id] === 1;
    const isAdded = isSpecial || (type === TOKEN_TYPE.userDefined && !isRunOfSpaces(content));
    if (content === "" || !isAdded) continue;
    const rstrip = isSpecial && !keepsSpaceAfter(content);
    const flags = { single_word: false, lstrip: false, rstrip, normalized: false };
    added.push({ id, content, ...flags, special: isSpecial });
  }
  return added;
}

/** Adds BOS before a text and EOS after it, if the file says so and names the token. */
function postProcessorOf({ special }: GgufVocabulary, config: JsonObject): JsonObject {
  const tokens: Record<string, JsonObject> = {};
  const part = (name: "bos" | "eos"): readonly JsonObject[] => {
    const id = special.get(name);
    if (!config[`add_${name}_token`] || id === undefined) return [];
    tokens[name] = { ids: [id] };
    return [{ SpecialToken: { id: name } }];
  };
  const single = [...part("bos"), { Sequence: { id: "A" } }, ...part("eos")];
  return { type: "TemplateProcessing", single, special_tokens: tokens };
}

function configOf({ tokens, special }: GgufVocabulary, fields: MetadataFields, addsBos: boolean): JsonObject {
  const text = (name: SpecialName) => tokens[special.get(name) ?? -1];
  const named = {
    bos_token: text("bos"),
    eos_token: text("eos"),
    unk_token: text("unknown"),
    pad_token: text("padding"),
    sep_token: text("separator"),
    mask_token: text("mask"),
  };
  return {
    ...Object.fromEntries(Object.entries(named).filter(([, token]) => token !== undefined)),
    add_bos_token: fields.flag("tokenizer.ggml.add_bos_token") ?? addsBos,
    add_eos_token: fields.flag("tokenizer.ggml.add_eos_token") ?? false,
    chat_template: chatTemplatesOf(fields),
  };
}

/** Reads the templates: `tokenizer.chat_template`, and those that `tokenizer.chat_templates` names. */
function chatTemplatesOf(fields: MetadataFields): string | readonly JsonObject[] | undefined {
  const main = fields.text("tokenizer.chat_template");
  const names = fields.texts("tokenizer.chat_templates", MAX_TEMPLATES) ?? [];
  const named = names.flatMap((name) => {
    const template = fields.text(`tokenizer.chat_template.${name}`);
    return template === undefined ? [] : [{ name, template }];
  });
  if (named.length === 0) return main;
  return main === undefined ? named : [{ name: "default", template: main }, ...named];
}

const MAX_TEMPLATES = 100;
