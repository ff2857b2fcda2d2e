import { ModelFileError } from "../../base/errors.ts";
import type { ByteSource } from "../byte-source.ts";

/** Bytes of one read: few requests for a vocabulary of megabytes, little memory beside it. */
const WINDOW_BYTES = 4 << 20;

/** Limit on a header. The largest in use, with 256,000 tokens and 500,000 merges, have 20 MB. */
const MAX_HEADER_BYTES = 128 << 20;

/** Limit on one text. Chat templates have some 10 KB, the longest licences 60 KB. */
export const MAX_TEXT_BYTES = 16 << 20;

const LITTLE_ENDIAN = true;

/**
 * Reads the header of a GGUF file from its start, by windows. `need` makes bytes available; the plain readers then take
 * them. No length of a file is believed before the file is known to hold it.
 */
export class HeaderReader {
  readonly #source: ByteSource;
  #window: Uint8Array = new Uint8Array(0);
  #view = new DataView(this.#window.buffer);
  /** Offset of the window in the file. */
  #start = 0;
  /** Next byte within the window. */
  #at = 0;
  /** Texts of a window without their lengths; kept, since a file may have many short arrays. */
  #joined = new Uint8Array(0);

  constructor(source: ByteSource) {
    this.#source = source;
  }

  /** Offset of the next byte in the file. */
  get position(): number {
    return this.#start + this.#at;
  }

  get remainingBytes(): number {
    return this.#source.sizeBytes - this.position;
  }

  fail(what: string): ModelFileError {
    return new ModelFileError(
      `reading ${this.#source.name}: ${what}; the file is damaged or cut short, download it again`,
    );
  }

  /** Makes the next `length` bytes available. @throws ModelFileError when the file or a header ends before. */
  async need(length: number, what: string): Promise<void> {
    if (this.#at + length <= this.#window.length) return;
    if (length > this.remainingBytes)
      throw this.fail(
        `${what} at byte ${this.position} takes ${length} bytes, but the file has ${this.remainingBytes} more`,
      );
    if (this.position + length > MAX_HEADER_BYTES)
      throw this.fail(`its header has more than ${MAX_HEADER_BYTES} bytes, more than any model's`);
    const start = this.position;
    const bytes = Math.max(length, Math.min(WINDOW_BYTES, this.remainingBytes));
    this.#window = await this.#source.read(start, bytes);
    this.#view = new DataView(this.#window.buffer, this.#window.byteOffset, this.#window.length);
    this.#start = start;
    this.#at = 0;
  }

  u8(): number {
    return this.#view.getUint8(this.#take(1));
  }

  i8(): number {
    return this.#view.getInt8(this.#take(1));
  }

  u16(): number {
    return this.#view.getUint16(this.#take(2), LITTLE_ENDIAN);
  }

  i16(): number {
    return this.#view.getInt16(this.#take(2), LITTLE_ENDIAN);
  }

  u32(): number {
    return this.#view.getUint32(this.#take(4), LITTLE_ENDIAN);
  }

  i32(): number {
    return this.#view.getInt32(this.#take(4), LITTLE_ENDIAN);
  }

  f32(): number {
    return this.#view.getFloat32(this.#take(4), LITTLE_ENDIAN);
  }

  f64(): number {
    return this.#view.getFloat64(this.#take(8), LITTLE_ENDIAN);
  }

  u64(): bigint {
    return this.#view.getBigUint64(this.#take(8), LITTLE_ENDIAN);
  }

  i64(): bigint {
    return this.#view.getBigInt64(this.#take(8), LITTLE_ENDIAN);
  }

  /** Copies bytes. */
  bytes(length: number): Uint8Array<ArrayBuffer> {
    const at = this.#take(length);
    const copy = new Uint8Array(length);
    copy.set(this.#window.subarray(at, at + length));
    return copy;
  }

  /** Reads a text. maxBytes: more is an error. */
  async text(what: string, maxBytes = MAX_TEXT_BYTES): Promise<string> {
    await this.need(8, `the length of ${what}`);
    const length = this.#textLength(what, maxBytes);
    await this.need(length, what);
    const at = this.#take(length);
    return LOSSY.decode(this.#window.subarray(at, at + length));
  }

  /**
   * Reads an array of texts. All texts of a window are decoded at once: a decoder call for each of 256,000 tokens would take
   * most of the time to open a file.
   */
  async texts(count: number, what: string): Promise<string[]> {
    const texts: string[] = [];
    while (texts.length < count) {
      const before = texts.length;
      this.#takeTexts(count - before, texts, what);
      if (texts.length > before) continue;
      await this.need(8, `the length of a text of ${what}`);
      const length = this.#textLength(what, MAX_TEXT_BYTES);
      this.#at -= 8;
      await this.need(8 + length, `a text of ${what}`);
    }
    return texts;
  }

  /** Takes the texts that lie in the window as a whole, at most `most`. */
  #takeTexts(most: number, texts: string[], what: string): void {
    const window = this.#window;
    if (this.#joined.length < window.length) this.#joined = new Uint8Array(window.length);
    const joined = this.#joined;
    /** Ends of the texts in `joined`, in bytes and in UTF-16 units. */
    const byteEnds: number[] = [];
    const unitEnds: number[] = [];
    let filled = 0;
    let units = 0;
    let isClean = true;
    while (byteEnds.length < most && this.#at + 8 <= window.length) {
      const length = this.#textLength(what, MAX_TEXT_BYTES);
      const end = this.#at + length;
      if (end > window.length) {
        this.#at -= 8;
        break;
      }
      // a text that begins within a character would be valid beside the one before it
      if (length > 0 && (window[this.#at] & 0xc0) === 0x80) isClean = false;
      for (let at = this.#at; at < end; at++) {
        const byte = window[at];
        joined[filled++] = byte;
        if ((byte & 0xc0) !== 0x80) units += byte >= 0xf0 ? 2 : 1;
      }
      this.#at = end;
      byteEnds.push(filled);
      unitEnds.push(units);
    }
    const all = isClean ? decodeStrictly(joined.subarray(0, filled)) : undefined;
    let from = 0;
    for (const end of all === undefined ? byteEnds : unitEnds) {
      texts.push(all?.substring(from, end) ?? LOSSY.decode(joined.subarray(from, end)));
      from = end;
    }
  }

  #textLength(what: string, maxBytes: number): number {
    const length = this.u64();
    if (length > BigInt(maxBytes))
      throw this.fail(`a text of ${what} has ${length} bytes; expected at most ${maxBytes}`);
    return Number(length);
  }

  #take(length: number): number {
    const at = this.#at;
    this.#at += length;
    return at;
  }
}

const STRICT = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
/** Invalid bytes become U+FFFD, as single odd tokens must not keep a file from opening. */
const LOSSY = new TextDecoder("utf-8", { ignoreBOM: true });

function decodeStrictly(bytes: Uint8Array): string | undefined {
  try {
    return STRICT.decode(bytes);
  } catch {
    return undefined;
  }
}
