/** Tokens as bytes of the output, for those who need to know what a token adds before it is decoded. */
import type { AddedToken } from "./added-tokens.ts";
import { LETTER_BYTES } from "./bytes.ts";
import type { Decoder } from "./decode-step.ts";
import type { Fields } from "./fields.ts";

/** Tokens as bytes of the output. */
export interface OutputBytes {
  /** One more than the largest id. */
  readonly size: number;
  /** True if a token at the start of the output may have another text than later, as with SentencePiece's first space. */
  readonly differsAtFirst: boolean;
  /** UTF-8 bytes that a token adds; it may be a part of a character, or empty. Undefined for ids without a token. */
  bytes(id: number, isFirst: boolean): Uint8Array | undefined;
  /** Text of an added token, such as "<|im_end|>". */
  addedText(id: number): string | undefined;
  /** Id of an added token by its text. */
  addedId(text: string): number | undefined;
}

export interface NamedTokens {
  readonly size: number;
  nameOf(id: number): string | undefined;
  readonly added: readonly AddedToken[];
}

const encoder = new TextEncoder();

/**
 * Describes tokens as bytes. The bytes of tokens join to UTF-8 that decodes to the tokenizer's own text, if the whole is valid UTF-8.
 * Returns undefined for decoders that write a token by what follows it (BPE with a suffix for words, CTC, clean-up of white space).
 */
export function outputBytes(
  decoderFields: Fields | undefined,
  decoder: Decoder,
  cleansUp: boolean,
  tokens: NamedTokens,
): OutputBytes | undefined {
  const kinds = decoderFields ? kindsOf(decoderFields) : ["Spaced"];
  if (cleansUp || kinds.some((kind) => UNSUPPORTED.has(kind))) return undefined;
  const texts = new Map(tokens.added.map(({ id }) => [id, tokens.nameOf(id) ?? ""]));
  const ids = new Map([...texts].map(([id, text]) => [text, id]));
  const isByteLevel = kinds.includes("ByteLevel");
  if (isByteLevel && kinds.some((kind) => kind !== "ByteLevel" && kind !== "Fuse")) return undefined;
  const read = isByteLevel ? byteLetters : throughDecoder(decoder, kinds.includes("ByteFallback"));
  return {
    size: tokens.size,
    differsAtFirst: kinds.some((kind) => BY_PLACE.has(kind)),
    bytes: (id, isFirst) => {
      const name = tokens.nameOf(id);
      return name === undefined ? undefined : read(name, isFirst);
    },
    addedText: (id) => texts.get(id),
    addedId: (text) => ids.get(text),
  };
}

const UNSUPPORTED: ReadonlySet<string> = new Set(["BPEDecoder", "CTC", "StripsEnd"]);

/** Decoders that write the first token otherwise than later ones. */
const BY_PLACE: ReadonlySet<string> = new Set(["Strip", "Metaspace", "WordPiece", "Spaced"]);

/** Names of all decoders of a file. */
function kindsOf(fields: Fields): readonly string[] {
  const kind = fields.text("type");
  if (kind === "Sequence") return fields.children("decoders").flatMap(kindsOf);
  return kind === "Strip" && fields.count("stop", 0, 1e6) > 0 ? [kind, "StripsEnd"] : [kind];
}

/** GPT-2's encoding; a token with other letters is plain text. */
function byteLetters(name: string): Uint8Array {
  const bytes = new Uint8Array(name.length);
  for (let i = 0; i < name.length; i++) {
    const byte = LETTER_BYTES.get(name.charCodeAt(i));
    if (byte === undefined) return encoder.encode(name);
    bytes[i] = byte;
  }
  return bytes;
}

const BYTE_TOKEN = /^<0x[\dA-Fa-f]{2}>$/;
/** A token that no decoder changes, around the token that is read. */
const ANCHOR = "a";

function throughDecoder(decoder: Decoder, hasBytes: boolean): (name: string, isFirst: boolean) => Uint8Array {
  const read = (names: readonly string[]): string => {
    const steps = decoder.open(false);
    return [...names.flatMap((name) => steps.push(name)), ...steps.end()].join("");
  };
  const anchored = read([ANCHOR]).length;
  // opening a stream takes 40 us, and a vocabulary has 260,000 tokens
  let stream = decoder.open(false);
  const anchor = [stream.push(ANCHOR), stream.push(ANCHOR)][1]?.join("");
  const readLater = (name: string): string => {
    const text = stream.push(name).join("");
    if (stream.push(ANCHOR).join("") === anchor) return text;
    // the stream held back what the anchor then changed
    stream = decoder.open(false);
    stream.push(ANCHOR);
    return read([ANCHOR, name]).slice(anchored);
  };
  return (name, isFirst) => {
    if (hasBytes && BYTE_TOKEN.test(name)) {
      const byte = Number.parseInt(name.slice(3, 5), 16);
      // a byte of ASCII is a character, which a decoder may take from the start of the output
      if (byte >= 0x80) return Uint8Array.of(byte);
      return encoder.encode(isFirst ? read([name]) : String.fromCharCode(byte));
    }
    return encoder.encode(isFirst ? read([name]) : readLater(name));
  };
}
