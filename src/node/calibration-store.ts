/**
 * Calibrations on this machine: beside a model, or in this package's cache folder for models whose folder is not to be written (those of the
 * hub and behind URLs, and folders that refuse it). The one in the cache was measured here, and counts before one beside.
 */
import { createHash, randomUUID } from "node:crypto";
import { mkdir, rename, rm, stat, writeFile } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { ModelFileError } from "../base/errors.ts";
import type { FileFolder } from "../load/byte-source.ts";
import {
  CALIBRATION_FILE,
  type Calibration,
  calibrationFileOf,
  readCalibration,
} from "../load/calibration.ts";
import type { OpenedModel } from "../load/hub/pull-model.ts";
import type { JsonObject } from "../load/json-file.ts";
import { openFileFolder } from "./file-folder.ts";
import { openModel } from "./hub/open-model.ts";
import { cacheFolder } from "./tuning-store.ts";

/** Opens the calibration of the cache in place of one beside the weights. */
export function withStoredCalibration(opened: OpenedModel): OpenedModel {
  const { folder } = opened;
  const open: FileFolder["open"] = async (path, signal) => {
    const stored = path.endsWith(CALIBRATION_FILE) ? storedPath(folder, path) : undefined;
    const source = stored === undefined ? undefined : await openStored(stored);
    return source ?? folder.open(path, signal);
  };
  return { ...opened, folder: { ...folder, open } };
}

/** What identifies a checkpoint and its calibration: of its report. */
export interface CalibratedCheckpoint {
  readonly identity: string;
  /** Names of the weight files. */
  readonly files: readonly string[];
}

/**
 * Writes the calibration of a model, whole or not at all. Returns its path: beside the model if it is a folder or a file here that lets
 * itself be written, else in the cache. contents: makes them from the calibration that is there
 * @throws ModelFileError; as opening the model
 */
export async function storeCalibration(
  model: string,
  { identity, files }: CalibratedCheckpoint,
  contents: (found: Calibration | undefined) => JsonObject,
): Promise<string> {
  const opened = withStoredCalibration(await openModel(model, { headersOnly: true }));
  const { folder } = opened;
  const { calibration } = await readCalibration(folder, { files, identity });
  const text = `${JSON.stringify(contents(calibration), undefined, 2)}\n`;
  const name = calibrationFileOf(files);
  const stored = storedPath(folder, name);
  if (await isOurs(folder)) {
    try {
      const beside = await writeWhole(resolve(folder.name, name), text);
      if (stored !== undefined) await rm(stored, { force: true });
      return beside;
    } catch (error) {
      if (!isRefusal(error) || stored === undefined) throw cannotWrite(error);
    }
  }
  if (stored === undefined)
    throw cannotWrite(new Error("there is no folder for caches: set HOME or XDG_CACHE_HOME"));
  try {
    return await writeWhole(stored, text);
  } catch (error) {
    throw cannotWrite(error);
  }
}

/** The place in the cache by the folder's path or URL: two fine-tunings of one model are two models. */
function storedPath(folder: FileFolder, file: string): string | undefined {
  const cache = cacheFolder();
  if (cache === undefined) return undefined;
  const place = /^[a-z]+:\/\//i.test(folder.name) ? folder.name : resolve(folder.name);
  const key = createHash("sha256").update(`${place}\n${file}`).digest("hex").slice(0, 16);
  return join(cache, "calibrations", key, file.replaceAll("/", "_"));
}

async function openStored(path: string): Promise<Awaited<ReturnType<FileFolder["open"]>>> {
  const isThere = await stat(path).then(
    (info) => info.isFile(),
    () => false,
  );
  return isThere ? (await openFileFolder(dirname(path))).open(basename(path)) : undefined;
}

/** True for a folder on this machine, unless it belongs to the hub's cache. */
async function isOurs(folder: FileFolder): Promise<boolean> {
  const info = await stat(folder.name).catch(() => undefined);
  const parts = resolve(folder.name).split(/[\\/]/);
  return info?.isDirectory() === true && !parts.some((part) => part.startsWith("models--"));
}

async function writeWhole(path: string, text: string): Promise<string> {
  await mkdir(dirname(path), { recursive: true });
  const passing = `${path}.${randomUUID().slice(0, 8)}.tmp`;
  try {
    await writeFile(passing, text);
    await rename(passing, path);
  } catch (error) {
    await rm(passing, { force: true }).catch(() => {}); // report the first error
    throw error;
  }
  return path;
}

function isRefusal(error: unknown): boolean {
  return error instanceof Error && "code" in error && /^(EACCES|EPERM|EROFS)$/.test(String(error.code));
}

function cannotWrite(cause: unknown): ModelFileError {
  return new ModelFileError(`writing the calibration: ${String(cause)}; name another place with --out`, {
    cause,
  });
}
