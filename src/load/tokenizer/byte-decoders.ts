/** The two ways in which tokens are bytes of UTF-8. */
import { LETTER_BYTES } from "./bytes.ts";
import type { DecodeStep } from "./decode-step.ts";

const encoder = new TextEncoder();
const REPLACEMENT = "\ufffd";

/** The bytes of a token of byte letters; a token with any other letter (an added one) is its own UTF-8. */
function bytesOf(token: string): Uint8Array {
  const bytes = new Uint8Array(token.length);
  for (let i = 0; i < token.length; i++) {
    const byte = LETTER_BYTES.get(token.charCodeAt(i));
    if (byte === undefined) return encoder.encode(token);
    bytes[i] = byte;
  }
  return bytes;
}

/** GPT-2's way: letters are bytes; the bytes of an unfinished character wait for the next token. */
export function createByteLevel(): DecodeStep {
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true }); // U+FEFF is text like any other
  return {
    push: (token) => [decoder.decode(bytesOf(token), { stream: true })],
    end: () => [decoder.decode()],
  };
}

/**
 * SentencePiece's way: tokens like <0xE2> are bytes. A run of them is one text where all of it is UTF-8, and one U+FFFD
 * a byte where it is not, so that a run is certain when it ends, or as soon as it cannot be UTF-8 any more.
 */
export function createByteFallback(): DecodeStep {
  let run: Run | undefined;
  const finish = (): string[] => {
    const text = run?.end();
    run = undefined;
    return text === undefined ? [] : text;
  };
  return {
    push: (token) => {
      const byte = byteOf(token);
      if (byte === undefined) return [...finish(), token];
      run ??= new Run();
      return run.push(byte);
    },
    end: finish,
  };
}

/** Rust's `u8::from_str_radix` takes a plus sign too. */
function byteOf(token: string): number | undefined {
  if (token.length !== 6 || !token.startsWith("<0x") || !token.endsWith(">")) return undefined;
  const digits = token.slice(3, 5);
  return /^(?:[\da-f]{2}|\+[\da-f])$/i.test(digits)
    ? Number.parseInt(digits.replace("+", ""), 16)
    : undefined;
}

class Run {
  readonly #decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  readonly #texts: string[] = [];
  #count = 0;
  #isBroken = false;

  push(byte: number): string[] {
    this.#count++;
    if (this.#isBroken) return [REPLACEMENT];
    try {
      this.#texts.push(this.#decoder.decode(Uint8Array.of(byte), { stream: true }));
      return [];
    } catch {
      return this.#break();
    }
  }

  /** Every byte so far becomes a U+FFFD, each a token of its own. */
  #break(): string[] {
    this.#isBroken = true;
    return Array.from({ length: this.#count }, () => REPLACEMENT);
  }

  end(): string[] {
    if (this.#isBroken) return [];
    try {
      this.#texts.push(this.#decoder.decode());
      return [this.#texts.join("")];
    } catch {
      return this.#break();
    }
  }
}
