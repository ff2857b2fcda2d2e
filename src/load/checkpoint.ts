import type { FileFolder } from "./byte-source.ts";
import type { Checkpoint, FindCheckpoint } from "./checkpoint-contents.ts";
import { findGguf } from "./gguf/find-gguf.ts";
import { guardFolder } from "./guarded-folder.ts";
import { findHuggingFace } from "./hugging-face.ts";
import { missingFiles } from "./missing-files.ts";

export type { Checkpoint } from "./checkpoint-contents.ts";

/** The kinds of checkpoints, in the order in which they are looked for. */
const KINDS: readonly FindCheckpoint[] = [findGguf.named, findHuggingFace, findGguf.only];

/**
 * Opens a checkpoint: reads its texts and the headers of its weight files.
 * signal: ends the opening, and later reads of the weights, with an AbortedError.
 * @throws ModelFileError, ConfigError on a quantised checkpoint, AbortedError
 */
export async function openCheckpoint(
  given: FileFolder,
  { signal }: { readonly signal?: AbortSignal | undefined } = {},
): Promise<Checkpoint> {
  const folder = guardFolder(given, signal);
  for (const find of KINDS) {
    const open = await find(folder);
    if (open) return open();
  }
  throw await missingFiles(folder, ["config.json"]);
}
