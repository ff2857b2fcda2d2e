/** Decoders of the two encodings of UTF-8 bytes in tokens. */
import { LETTER_BYTES } from "./bytes.ts";
import type { DecodeStep } from "./decode-step.ts";

const encoder = new TextEncoder();
const REPLACEMENT = "\ufffd";

/** Returns the bytes of a token of byte letters. A token with other letters, such as an added one, is plain UTF-8. */
function bytesOf(token: string): Uint8Array {
  const bytes = new Uint8Array(token.length);
  for (let i = 0; i < token.length; i++) {
    const byte = LETTER_BYTES.get(token.charCodeAt(i));
    if (byte === undefined) return encoder.encode(token);
    bytes[i] = byte;
  }
  return bytes;
}

/** GPT-2's encoding: letters are bytes. Holds back the bytes of an unfinished character. */
export function createByteLevel(): DecodeStep {
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true }); // keeps U+FEFF
  return {
    push: (token) => [decoder.decode(bytesOf(token), { stream: true })],
    end: () => [decoder.decode()],
  };
}

/**
 * SentencePiece's encoding: tokens like <0xE2> are bytes. A run of byte tokens decodes to one text if all of it is valid
 * UTF-8, else to one U+FFFD a byte. The output is therefore final when the run ends or becomes invalid.
 */
export function createByteFallback(): DecodeStep {
  let run: ByteRun | undefined;
  const finish = (): string[] => {
    const text = run?.end();
    run = undefined;
    return text === undefined ? [] : text;
  };
  return {
    push: (token) => {
      const byte = byteOf(token);
      if (byte === undefined) return [...finish(), token];
      run ??= new ByteRun();
      return run.push(byte);
    },
    end: finish,
  };
}

/** Reads a byte token. A plus sign is valid, as in Rust's `u8::from_str_radix`. */
function byteOf(token: string): number | undefined {
  if (token.length !== 6 || !token.startsWith("<0x") || !token.endsWith(">")) return undefined;
  const digits = token.slice(3, 5);
  return /^(?:[\da-f]{2}|\+[\da-f])$/i.test(digits)
    ? Number.parseInt(digits.replace("+", ""), 16)
    : undefined;
}

class ByteRun {
  readonly #decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  readonly #texts: string[] = [];
  #count = 0;
  #isInvalid = false;

  push(byte: number): string[] {
    this.#count++;
    if (this.#isInvalid) return [REPLACEMENT];
    try {
      this.#texts.push(this.#decoder.decode(Uint8Array.of(byte), { stream: true }));
      return [];
    } catch {
      return this.#replaceAll();
    }
  }

  /** Turns every byte so far into a U+FFFD token. */
  #replaceAll(): string[] {
    this.#isInvalid = true;
    return Array.from({ length: this.#count }, () => REPLACEMENT);
  }

  end(): string[] {
    if (this.#isInvalid) return [];
    try {
      this.#texts.push(this.#decoder.decode());
      return [this.#texts.join("")];
    } catch {
      return this.#replaceAll();
    }
  }
}
