import { ModelFileError } from "../base/errors.ts";
import { describeForeign, HEAD_BYTES } from "./foreign-file.ts";

/** A file that can be read in ranges: on disk, behind a URL, or chosen in a browser. */
export interface ByteSource {
  /** For messages. */
  readonly name: string;
  readonly sizeBytes: number;
  /**
   * Exactly `length` bytes from `offset`; the caller owns them. The signal says that nobody waits for them any more.
   * @throws ModelFileError when the file is shorter or cannot be read.
   */
  read(offset: number, length: number, signal?: AbortSignal): Promise<Uint8Array>;
  close?(): Promise<void>;
}

/** A folder of files. */
export interface FileFolder {
  /** For messages. */
  readonly name: string;
  /** undefined: there is no such file. @throws ModelFileError when there is one and it cannot be opened. */
  open(path: string, signal?: AbortSignal): Promise<ByteSource | undefined>;
  /** Paths of its files, where the folder can tell. */
  list?(): Promise<readonly string[]>;
  /**
   * Why `open` took a file for not there, where that may be read in another way: the answer 403 of a server. For
   * messages; completes "there is no NAME: …".
   */
  whyMissing?(path: string): string | undefined;
}

/** Texts of a checkpoint are held in memory whole. The largest tokenizer.json in use has about 35 MB. */
const MAX_TEXT_BYTES: Readonly<Record<string, number>> = {
  "tokenizer.json": 256 << 20,
  "model.safetensors.index.json": 64 << 20,
};
const MAX_OTHER_TEXT_BYTES = 16 << 20;

/** Bytes that a text of a checkpoint may have, by its name. */
export function maxTextBytes(path: string): number {
  return MAX_TEXT_BYTES[path] ?? MAX_OTHER_TEXT_BYTES;
}

/** The whole file as text, or undefined when there is none. @throws ModelFileError when it is no UTF-8. */
export async function readText(folder: FileFolder, path: string): Promise<string | undefined> {
  const source = await folder.open(path);
  if (!source) return undefined;
  try {
    const most = maxTextBytes(path);
    if (source.sizeBytes > most)
      throw new ModelFileError(
        `reading ${source.name}: expected a text of at most ${most} bytes, the file has ${source.sizeBytes}; ` +
          "download it again",
      );
    const bytes = await source.read(0, source.sizeBytes);
    if (bytes.length === 0 && path.endsWith(".jinja")) return ""; // a template may say nothing
    const foreign = describeForeign(bytes.subarray(0, HEAD_BYTES), bytes.length);
    if (foreign !== undefined) throw new ModelFileError(`reading ${source.name}: it is ${foreign}`);
    try {
      // a byte-order mark is kept, as Python keeps it: parseJsonObject passes over it
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
