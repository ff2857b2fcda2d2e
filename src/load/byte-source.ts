import { ModelFileError } from "../base/errors.ts";
import { describeForeign, HEAD_BYTES } from "./foreign-file.ts";

/** A file read by byte ranges: on disk, behind a URL, or chosen in a browser. */
export interface ByteSource {
  /** Names the file in messages. */
  readonly name: string;
  readonly sizeBytes: number;
  /**
   * Reads exactly `length` bytes from `offset` into an array that the caller owns.
   * signal: aborts when the caller no longer waits for the bytes.
   * @throws ModelFileError when the file is shorter or cannot be read.
   */
  read(offset: number, length: number, signal?: AbortSignal): Promise<Uint8Array>;
  /**
   * Fills `bytes` from `offset` on, as `read` does: memory that is used again costs the system no new pages. Absent where
   * the bytes arrive in arrays of their own.
   */
  readInto?(bytes: Uint8Array, offset: number, signal?: AbortSignal): Promise<void>;
  /** Gives the file back. */
  close?(): Promise<void>;
}

/** A folder of files. */
export interface FileFolder {
  /** Names the folder in messages. */
  readonly name: string;
  /** Opens a file; undefined when the folder has none of that path. @throws ModelFileError when it cannot be opened. */
  open(path: string, signal?: AbortSignal): Promise<ByteSource | undefined>;
  /** Lists the paths of the files. Folders behind a URL cannot. */
  list?(): Promise<readonly string[]>;
  /**
   * Explains why `open` treated a file as missing if another cause is possible, such as HTTP status 403.
   * Completes the message "there is no NAME: …".
   */
  whyMissing?(path: string): string | undefined;
  /** The path of the weight file that was named, the first of its parts; undefined: the folder's own weights. */
  readonly weightFile?: string;
}

/** Limits of text files, which are read whole into memory. The largest tokenizer.json in use has about 35 MB. */
const MAX_TEXT_BYTES: Readonly<Record<string, number>> = {
  "tokenizer.json": 256 << 20,
  "model.safetensors.index.json": 64 << 20,
};
const MAX_OTHER_TEXT_BYTES = 16 << 20;

/** Returns the size limit of a text file by its path. */
export function maxTextBytes(path: string): number {
  return MAX_TEXT_BYTES[path] ?? MAX_OTHER_TEXT_BYTES;
}

/**
 * Reads a whole text file; undefined when the folder has none of that path.
 * @throws ModelFileError when the file is too large, has another format, or is not UTF-8.
 */
export async function readText(folder: FileFolder, path: string): Promise<string | undefined> {
  const source = await folder.open(path);
  if (!source) return undefined;
  try {
    const limit = maxTextBytes(path);
    if (source.sizeBytes > limit)
      throw new ModelFileError(
        `reading ${source.name}: expected a text of at most ${limit} bytes, the file has ${source.sizeBytes}; ` +
          "download it again",
      );
    const bytes = await source.read(0, source.sizeBytes);
    if (bytes.length === 0 && path.endsWith(".jinja")) return ""; // an empty template is valid
    const foreign = describeForeign(bytes.subarray(0, HEAD_BYTES), bytes.length);
    if (foreign !== undefined) throw new ModelFileError(`reading ${source.name}: it is ${foreign}`);
    try {
      // Python keeps a byte-order mark, so keep it here; parseJsonObject skips it
      return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    } catch (cause) {
      throw new ModelFileError(`reading ${source.name}: not valid UTF-8; download the file again`, { cause });
    }
  } finally {
    await source.close?.();
  }
}

/** Refuses a range outside the file. @throws ModelFileError */
export function checkRange(
  source: Pick<ByteSource, "name" | "sizeBytes">,
  offset: number,
  length: number,
): void {
  if (offset >= 0 && length >= 0 && offset + length <= source.sizeBytes) return;
  throw new ModelFileError(
    `reading ${source.name}: expected ${length} bytes from ${offset}, but the file has ${source.sizeBytes}; ` +
      "it is cut short, download it again",
  );
}
