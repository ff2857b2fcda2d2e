import { ConfigError } from "../../src/node/index.ts";
import type { Attempt } from "./attempt.ts";
import { readAttempts } from "./attempt-log.ts";
import { attemptKey } from "./attempt-schema.ts";
import { type RunSettings, readSettings } from "./settings-file.ts";

/** A run as its folder has it. */
export interface EvaluationRun {
  readonly settings: RunSettings;
  /** The attempts under the current settings, each once, in the order of the settings' cells. */
  readonly attempts: readonly Attempt[];
  /** Rows under settings that a later run has replaced. */
  readonly replaced: number;
}

/**
 * Reads a run's folder: its settings, and its attempts under the last settings of each task, length and attention.
 * keepResponses: false leaves the responses empty, which may be most of the memory.
 * @throws ConfigError if it is not the folder of an evaluation, ModelFileError if its files are damaged
 */
export async function readRun(
  folder: string,
  { keepResponses = true }: { readonly keepResponses?: boolean } = {},
): Promise<EvaluationRun> {
  const settings = await readSettings(folder);
  if (settings === undefined)
    throw new ConfigError(
      `${folder} holds no evaluation: there is no settings.json; give a folder of "lessismore eval --out"`,
    );
  const places = new Map(settings.cells.map(({ settingsHash }, i) => [settingsHash, i]));
  const attempts = new Map<string, Attempt>();
  let replaced = 0;
  for await (const attempt of readAttempts(folder)) {
    const key = attemptKey(attempt);
    if (!places.has(attempt.settingsHash)) replaced++;
    else if (!attempts.has(key)) attempts.set(key, keepResponses ? attempt : { ...attempt, response: "" });
  }
  const place = ({ settingsHash }: Attempt) => places.get(settingsHash) ?? 0;
  const inOrder = [...attempts.values()].sort((a, b) => place(a) - place(b));
  return { settings, attempts: inOrder, replaced };
}
