import { ModelFileError } from "../base/errors.ts";

/** A file that can be read in ranges: on disk, behind a URL, or chosen in a browser. */
export interface ByteSource {
  /** For messages. */
  readonly name: string;
  readonly sizeBytes: number;
  /**
   * Exactly `length` bytes from `offset`; the caller owns them.
   * @throws ModelFileError when the file is shorter or cannot be read.
   */
  read(offset: number, length: number): Promise<Uint8Array>;
  close?(): Promise<void>;
}

/** A folder of files. */
export interface FileFolder {
  /** For messages. */
  readonly name: string;
  /** undefined: there is no such file. @throws ModelFileError when there is one and it cannot be opened. */
  open(path: string): Promise<ByteSource | undefined>;
  /** Paths of its files, where the folder can tell. */
  list?(): Promise<readonly string[]>;
}

/** Texts of a checkpoint are held in memory whole; the largest tokenizer.json in use has about 35 MB. */
const MAX_TEXT_BYTES = 256 << 20;

/**
 * The whole file as text, or undefined when there is none. @throws ModelFileError when it is no UTF-8.
 * ignoreBOM: a byte-order mark at the start is part of the text. Default false.
 */
export async function readText(
  folder: FileFolder,
  path: string,
  ignoreBOM = false,
): Promise<string | undefined> {
  const source = await folder.open(path);
  if (!source) return undefined;
  try {
    if (source.sizeBytes > MAX_TEXT_BYTES)
      throw new ModelFileError(
        `reading ${source.name}: expected a text of at most ${MAX_TEXT_BYTES} bytes, the file has ${source.sizeBytes}`,
      );
    const bytes = await source.read(0, source.sizeBytes);
    try {
      return new TextDecoder("utf-8", { fatal: true, ignoreBOM }).decode(bytes);
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
