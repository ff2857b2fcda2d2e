/** A file that can be read in ranges: on disk, behind a URL, or chosen in a browser. */
export interface ByteSource {
  /** For messages. */
  readonly name: string;
  readonly sizeBytes: number;
  /** Exactly `length` bytes from `offset`. @throws ModelFileError when the file is shorter. */
  read(offset: number, length: number): Promise<Uint8Array>;
  close?(): Promise<void>;
}

/** A folder of files. */
export interface FileFolder {
  /** For messages. */
  readonly name: string;
  /** undefined: there is no such file. */
  open(path: string): Promise<ByteSource | undefined>;
}

/** The whole file as text, or undefined when there is none. */
export async function readText(folder: FileFolder, path: string): Promise<string | undefined> {
  const source = await folder.open(path);
  if (!source) return undefined;
  try {
    return new TextDecoder().decode(await source.read(0, source.sizeBytes));
  } finally {
    await source.close?.();
  }
}
