/** Files of a drop or a choice that make a checkpoint. */
import { texts } from "../texts.ts";

/** What is read of a file here. */
export interface NamedFile {
  readonly name: string;
  /** Path within a chosen folder; empty for single files. */
  readonly webkitRelativePath?: string;
}

/**
 * Chooses the files of one model: a GGUF file with its parts, or a folder's config, tokenizer and weights.
 * @throws Error that says what is missing
 */
export function groupFiles<T extends NamedFile>(
  files: readonly T[],
): { readonly name: string; readonly used: T[] } {
  const gguf = files.filter(({ name }) => /\.gguf$/i.test(name));
  const [first] = gguf;
  if (first !== undefined) {
    const parts = gguf.filter(({ name }) => stemOf(name) === stemOf(first.name));
    return { name: stemOf(first.name), used: parts };
  }
  const weights = files.filter(({ name }) => /\.safetensors$/i.test(name));
  if (weights.length === 0) throw new Error(texts.models.noModelIn(files.map(({ name }) => name)));
  const missing = ["config.json", "tokenizer.json"].filter(
    (wanted) => !files.some(({ name }) => name === wanted),
  );
  if (missing.length > 0) throw new Error(texts.models.missingBeside(missing));
  const folder = weights[0]?.webkitRelativePath?.split("/").at(-2);
  return { name: folder ?? weights[0]?.name ?? "", used: [...files] };
}

/** The name of a GGUF file without its number of parts and its ending. */
function stemOf(name: string): string {
  return name.replace(/(-\d{5}-of-\d{5})?\.gguf$/i, "");
}

/** The files of a drop, those within dropped folders included. */
export async function filesOfDrop(transfer: DataTransfer): Promise<File[]> {
  // the list is emptied after the event, so that its entries are taken before any wait
  const entries = [...transfer.items]
    .filter(({ kind }) => kind === "file")
    .map((item) => item.webkitGetAsEntry?.() ?? item.getAsFile());
  const lists = await Promise.all(
    entries.map((entry) => (entry instanceof File ? [entry] : filesOfEntry(entry))),
  );
  return lists.flat();
}

async function filesOfEntry(entry: FileSystemEntry | null): Promise<File[]> {
  if (entry === null) return [];
  if (entry.isFile) {
    const file = entry as FileSystemFileEntry;
    return [await new Promise<File>((resolve, reject) => file.file(resolve, reject))];
  }
  const reader = (entry as FileSystemDirectoryEntry).createReader();
  const found: File[] = [];
  for (;;) {
    // a reader gives some hundred entries at a time
    const some = await new Promise<FileSystemEntry[]>((resolve, reject) =>
      reader.readEntries(resolve, reject),
    );
    if (some.length === 0) return found;
    for (const one of some) if (one.isFile) found.push(...(await filesOfEntry(one)));
  }
}
