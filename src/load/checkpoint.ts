import type { FileFolder } from "./byte-source.ts";
import { modelIdentity, readCalibration } from "./calibration.ts";
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
    if (open) return withCalibration(folder, await open());
  }
  throw await missingFiles(folder, ["config.json"]);
}

/** Adds the calibration that lies beside the weights. */
async function withCalibration(folder: FileFolder, checkpoint: Checkpoint): Promise<Checkpoint> {
  try {
    const identity = modelIdentity(checkpoint.config, checkpoint.tensors);
    const { calibration, notes } = await readCalibration(folder, { files: checkpoint.files, identity });
    return { ...checkpoint, ...(calibration && { calibration }), notes: [...checkpoint.notes, ...notes] };
  } catch (error) {
    await checkpoint.close().catch(() => {}); // report the first error
    throw error;
  }
}
