/** Readers of the vocabulary in a GGUF file's metadata, which check types and bounds. */
import { ModelFileError } from "../../base/errors.ts";
import { printValue } from "../../base/print-value.ts";
import { MAX_MERGES, MAX_TOKEN_ID } from "../tokenizer/fields.ts";

/**
 * Metadata of a GGUF file by key. Texts are strings, integers are numbers or bigints, arrays of texts are lists of strings,
 * arrays of numbers are lists or typed arrays.
 */
export type GgufMetadata = ReadonlyMap<string, unknown>;

/** Values of `tokenizer.ggml.token_type`. */
export const TOKEN_TYPE = {
  normal: 1,
  unknown: 2,
  control: 3,
  userDefined: 4,
  unused: 5,
  byte: 6,
} as const;

/** Names of special tokens with their keys `tokenizer.ggml.…_token_id`. */
const SPECIAL_KEYS = {
  bos: "bos",
  eos: "eos",
  eot: "eot",
  eom: "eom",
  unknown: "unknown",
  separator: "seperator", // as llama.cpp spells it
  padding: "padding",
  mask: "mask",
  fimPad: "fim_pad",
  fimRepository: "fim_rep",
  fimSeparator: "fim_sep",
} as const;
export type SpecialName = keyof typeof SPECIAL_KEYS;

/** A checked vocabulary. */
export interface GgufVocabulary {
  /** Tokens by id, as the file spells them. */
  readonly tokens: readonly string[];
  /** Returns a `TOKEN_TYPE`; normal if the file has no types. */
  typeOf(id: number): number;
  readonly scores: ArrayLike<number> | undefined;
  readonly merges: readonly string[] | undefined;
  readonly special: ReadonlyMap<SpecialName, number>;
}

/** Values of a GGUF file, with checks of their types. */
export class MetadataFields {
  readonly #metadata: GgufMetadata;
  readonly fileName: string;

  constructor(metadata: GgufMetadata, fileName: string) {
    this.#metadata = metadata;
    this.fileName = fileName;
  }

  fail(key: string, expected: string, value: unknown): never {
    throw new ModelFileError(
      `reading ${this.fileName}: expected ${key} to be ${expected}, got ${printValue(value)}`,
    );
  }

  raw(key: string): unknown {
    return this.#metadata.get(key);
  }

  text(key: string): string | undefined {
    const value = this.raw(key);
    return value === undefined || typeof value === "string" ? value : this.fail(key, "a text", value);
  }

  flag(key: string): boolean | undefined {
    const value = this.raw(key);
    return value === undefined || typeof value === "boolean" ? value : this.fail(key, "true or false", value);
  }

  whole(key: string): number | undefined {
    const raw = this.raw(key);
    const value = typeof raw === "bigint" ? Number(raw) : raw;
    if (value === undefined) return undefined;
    return typeof value === "number" && Number.isSafeInteger(value)
      ? value
      : this.fail(key, "a whole number", raw);
  }

  texts(key: string, maxLength: number): readonly string[] | undefined {
    const value = this.raw(key);
    if (value === undefined) return undefined;
    if (!Array.isArray(value)) this.fail(key, "a list of texts", value);
    if (value.length > maxLength)
      throw new ModelFileError(
        `reading ${this.fileName}: ${key} has ${value.length} entries, at most ${maxLength} are read`,
      );
    for (const text of value) if (typeof text !== "string") this.fail(key, "a list of texts", text);
    return value;
  }

  /** Reads one number for each token. */
  numbers(key: string, length: number): ArrayLike<number> | undefined {
    const value = this.raw(key);
    if (value === undefined) return undefined;
    if (!isNumberList(value)) this.fail(key, "a list of numbers", value);
    if (value.length < length)
      throw new ModelFileError(
        `reading ${this.fileName}: ${key} has ${value.length} entries for a vocabulary of ${length} tokens`,
      );
    for (let i = 0; i < length; i++)
      if (Number.isNaN(value[i])) this.fail(key, "a list of numbers", Number.NaN);
    return value;
  }
}

function isNumberList(value: unknown): value is ArrayLike<number> {
  if (Array.isArray(value)) return value.every((one) => typeof one === "number");
  return (
    ArrayBuffer.isView(value) &&
    !(value instanceof DataView) &&
    !(value instanceof BigInt64Array) &&
    !(value instanceof BigUint64Array)
  );
}

const key = (name: string): string => `tokenizer.ggml.${name}`;

/**
 * Reads the vocabulary.
 * @param defaults ids of special tokens that the file leaves out
 * @throws ModelFileError
 */
export function readGgufVocabulary(
  fields: MetadataFields,
  defaults: Readonly<Partial<Record<SpecialName, number>>>,
): GgufVocabulary {
  const tokens = fields.texts(key("tokens"), MAX_TOKEN_ID + 1);
  if (!tokens || tokens.length === 0)
    throw new ModelFileError(
      `reading ${fields.fileName}: it names a tokenizer but holds no tokens; download the file again`,
    );
  const types = fields.numbers(key("token_type"), tokens.length);
  const special = new Map<SpecialName, number>();
  for (const [name, spelling] of Object.entries(SPECIAL_KEYS) as [SpecialName, string][]) {
    const id = fields.whole(key(`${spelling}_token_id`)) ?? defaults[name];
    // llama.cpp ignores ids out of the vocabulary, too: converters write -1 or the size for "none"
    if (id !== undefined && id >= 0 && id < tokens.length) special.set(name, id);
  }
  return {
    tokens,
    typeOf: (id) => types?.[id] ?? TOKEN_TYPE.normal,
    scores: fields.numbers(key("scores"), tokens.length),
    merges: fields.texts(key("merges"), MAX_MERGES),
    special,
  };
}
