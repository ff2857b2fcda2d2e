import { ModelFileError } from "../../base/errors.ts";
import type { FindCheckpoint } from "../checkpoint-contents.ts";
import { openGguf } from "./open-gguf.ts";
import { firstPart } from "./split-files.ts";

/** Files of the format that hold no language model: image encoders, measurements for quantising, adapters. */
const NO_MODEL = /(^|[-_.])(mmproj|imatrix|lora|adapter|vocab)([-_.\d]|$)/i;

/** Limits on the names in a message. */
const MAX_NAMES = 20;

/** The file that was named. */
const named: FindCheckpoint = async (folder) => {
  const { weightFile } = folder;
  if (weightFile === undefined || !/\.gguf$/i.test(weightFile)) return undefined;
  return () => openGguf(folder, weightFile);
};

/**
 * The only model of a folder that can be listed, where no weight file was named. A model whose first part is missing
 * counts: opening it names that part.
 * @throws ModelFileError when it has several
 */
const only: FindCheckpoint = async (folder) => {
  if (folder.weightFile !== undefined) return undefined;
  const files = (await folder.list?.()) ?? [];
  const found = new Map<string, string>();
  for (const file of files) {
    if (!/\.gguf$/i.test(file) || NO_MODEL.test(file)) continue;
    const first = firstPart(file);
    if (file === first || !found.has(first)) found.set(first, file);
  }
  const models = [...found.values()];
  const [model] = models;
  if (model === undefined) return undefined;
  if (models.length === 1) return () => openGguf(folder, model);
  const names = models.slice(0, MAX_NAMES).map((file) => file.slice(0, 200));
  const more = models.length > MAX_NAMES ? ` and ${models.length - MAX_NAMES} more` : "";
  throw new ModelFileError(
    `opening ${folder.name}: it holds ${models.length} models as GGUF files; name one of them: ${names.join(", ")}${more}`,
  );
};

export const findGguf = { named, only };
