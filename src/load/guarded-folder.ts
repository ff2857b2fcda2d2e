import { abortable, throwIfAborted } from "../base/abort.ts";
import { EngineError, ModelFileError } from "../base/errors.ts";
import { type ByteSource, checkRange, type FileFolder } from "./byte-source.ts";

/**
 * Wraps a folder that a caller may have implemented. Checks each source, checks that a read returns exactly the bytes
 * requested, and turns every failure into an EngineError. An aborted signal ends pending calls at once with an
 * AbortedError and closes files that open later.
 */
export function guardFolder(folder: FileFolder, signal?: AbortSignal): FileFolder {
  const { name } = folder;
  const guarded: { -readonly [Key in keyof FileFolder]: FileFolder[Key] } = {
    name,
    open: async (path) => {
      const doing = `opening ${name}/${path}`;
      throwIfAborted(signal, doing);
      const opening = typed(doing, async () => folder.open(path, signal));
      const source = await abortable(opening, signal, doing, (late) => late?.close?.());
      return source && guardSource(checkSource(source, doing), signal);
    },
  };
  if (folder.list) guarded.list = () => typed(`listing ${name}`, async () => (await folder.list?.()) ?? []);
  if (folder.weightFile !== undefined) guarded.weightFile = folder.weightFile;
  if (folder.whyMissing) guarded.whyMissing = (path) => folder.whyMissing?.(path);
  return guarded;
}

function checkSource(source: ByteSource, doing: string): ByteSource {
  const { sizeBytes, read } = source;
  if (typeof read !== "function" || !Number.isSafeInteger(sizeBytes) || sizeBytes < 0)
    throw new ModelFileError(
      `${doing}: expected a source with \`read\` and a \`sizeBytes\` of at least 0, got sizeBytes ${String(sizeBytes)}; ` +
        "mend the FileFolder that was given",
    );
  return source;
}

function guardSource(source: ByteSource, signal: AbortSignal | undefined): ByteSource {
  const { name, sizeBytes } = source;
  const guarded: ByteSource = {
    name,
    sizeBytes,
    read: async (offset, length) => {
      const doing = `reading ${name}`;
      throwIfAborted(signal, doing);
      checkRange({ name, sizeBytes }, offset, length);
      const reading = typed(doing, async () => source.read(offset, length, signal));
      const bytes = await abortable(reading, signal, doing);
      if (!(bytes instanceof Uint8Array) || bytes.length !== length)
        throw new ModelFileError(
          `${doing}: expected ${length} bytes from ${offset}, got ${bytes instanceof Uint8Array ? bytes.length : typeof bytes}; ` +
            "the file changed while it was read, or its source is at fault: try again",
        );
      return bytes;
    },
    close: async () => typed(`closing ${name}`, async () => source.close?.()),
  };
  if (source.readInto)
    guarded.readInto = async (bytes, offset) => {
      const doing = `reading ${name}`;
      throwIfAborted(signal, doing);
      checkRange({ name, sizeBytes }, offset, bytes.length);
      await abortable(
        typed(doing, async () => source.readInto?.(bytes, offset, signal)),
        signal,
        doing,
      );
    };
  return guarded;
}

/** Wraps foreign errors in a ModelFileError; the original becomes its cause. */
async function typed<T>(doing: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    if (cause instanceof EngineError) throw cause;
    throw new ModelFileError(`${doing}: ${String(cause)}`, { cause });
  }
}
