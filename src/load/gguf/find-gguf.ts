import { ModelFileError } from "../../base/errors.ts";
import type { FindCheckpoint } from "../checkpoint-contents.ts";
import { openGguf } from "./open-gguf.ts";
import { ggufModels } from "./split-files.ts";

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
  const models = ggufModels((await folder.list?.()) ?? []);
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
