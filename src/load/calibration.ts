/**
 * The calibration of a model: which layers select, and which policy suits it, as `lessismore calibrate` measured. It is a file beside the
 * weights, `sparse-attention.json`, or `NAME.gguf.sparse-attention.json` beside a GGUF file:
 *
 *     { "format": "lessismore-calibration-1", "model": IDENTITY, "selectionLayers": [2, 17], "attention": "less-is-more:budget=512",
 *       "policies": ["less-is-more:recency=0.5", "kascade:anchors=0+2+17,maps=3:1-0"] }
 *
 * `selectionLayers`, `attention` and `policies` may be absent; other fields are for people. A file for another model, or with other
 * contents, is not used, and a note says so: a model opens without it as well.
 */
import { ModelFileError } from "../base/errors.ts";
import { printValue } from "../base/print-value.ts";
import type { FileFolder } from "./byte-source.ts";
import { type JsonObject, readJsonObject } from "./json-file.ts";
import type { TensorEntry } from "./tensor-entry.ts";

export const CALIBRATION_FILE = "sparse-attention.json";
/** Name of the format of `sparse-attention.json`. */
export const CALIBRATION_FORMAT = "lessismore-calibration-1";

/** Limits on values from a file. */
const [MAX_LAYERS, MAX_SPEC_LENGTH, MAX_POLICIES] = [1000, 20_000, 32];

/** Settings of attention found by measurement for one model. */
export interface Calibration {
  /** Selection layers for settings that name none, ascending. */
  readonly selectionLayers: readonly number[] | undefined;
  /** Attention spec of requests that name none; its settings stand in for those that a spec of the same policy leaves out. */
  readonly attention: string | undefined;
  /** Attention specs, at most one of each policy: settings for specs of that policy that leave them out. */
  readonly policies: readonly string[];
}

/** Name of the calibration of a checkpoint with these weight files. */
export function calibrationFileOf(files: readonly string[]): string {
  const [first = ""] = files;
  return first.endsWith(".gguf") ? `${first}.${CALIBRATION_FILE}` : CALIBRATION_FILE;
}

/**
 * Identifies a checkpoint by its config, and its tensors' names and shapes: 16 hexadecimal digits. Two fine-tunings of one model have the same identity;
 * the file lies beside one of them.
 */
export function modelIdentity(config: JsonObject, tensors: ReadonlyMap<string, TensorEntry>): string {
  const shapes = [...tensors.values()].map(({ name, shape }) => `${name}:${shape.join("x")}`).sort();
  const { sparse_attention: _, ...own } = config;
  return hash(JSON.stringify([own, shapes]));
}

/** Reads the calibration beside a checkpoint. Returns nothing if there is none, and notes if it cannot be used. */
export async function readCalibration(
  folder: FileFolder,
  { files, identity }: { readonly files: readonly string[]; readonly identity: string },
): Promise<{ readonly calibration?: Calibration; readonly notes: readonly string[] }> {
  const path = calibrationFileOf(files);
  try {
    const json = await readJsonObject(folder, path);
    if (json === undefined) return { notes: [] };
    return { calibration: parseCalibration(json, identity), notes: [] };
  } catch (error) {
    if (!(error instanceof ModelFileError)) throw error;
    return {
      notes: [`${folder.name}/${path} is not used: ${error.message}; lessismore calibrate makes it anew`],
    };
  }
}

/** @throws ModelFileError if the file is of another model or holds other values */
export function parseCalibration(json: JsonObject, identity: string): Calibration {
  const { format, model, selectionLayers: layers, attention, policies = [] } = json;
  if (format !== CALIBRATION_FORMAT)
    throw new ModelFileError(`expected format ${CALIBRATION_FORMAT}, got ${printValue(format)}`);
  if (model !== identity)
    throw new ModelFileError(
      `it was measured on the model ${printValue(model)}, and this one is ${identity}`,
    );
  if (layers !== undefined && !isLayerList(layers))
    throw new ModelFileError(`selectionLayers must be ascending layers, got ${printValue(layers)}`);
  if (attention !== undefined && !isSpec(attention))
    throw new ModelFileError(`attention must be an attention spec, got ${printValue(attention)}`);
  if (!isSpecList(policies))
    throw new ModelFileError(
      `policies must be attention specs, one of each policy, got ${printValue(policies)}`,
    );
  return { selectionLayers: layers, attention, policies };
}

function isSpec(value: unknown): value is string {
  return typeof value === "string" && value.length <= MAX_SPEC_LENGTH;
}

function isSpecList(value: unknown): value is readonly string[] {
  return (
    Array.isArray(value) &&
    value.length <= MAX_POLICIES &&
    value.every(isSpec) &&
    new Set(value.map((spec) => spec.split(":", 1)[0])).size === value.length
  );
}

function isLayerList(value: unknown): value is readonly number[] {
  return (
    Array.isArray(value) &&
    value.length >= 1 &&
    value.length <= MAX_LAYERS &&
    value.every(
      (layer, i) =>
        Number.isSafeInteger(layer) && layer >= 0 && (i === 0 || layer > Number(value[i - 1] ?? Number.NaN)),
    )
  );
}

/** FNV-1a of a text's UTF-16 units, 64 bits. It tells models apart, and protects against nothing. */
function hash(text: string): string {
  let [high, low] = [0xcbf29ce4, 0x84222325];
  for (let i = 0; i < text.length; i++) {
    low ^= text.charCodeAt(i);
    // times 0x100000001b3, in halves of 32 bits
    const product = (low >>> 0) * 0x1b3;
    high = (Math.imul(high, 0x1b3) + (low << 8) + Math.floor(product / 0x1_0000_0000)) | 0;
    low = product | 0;
  }
  const digits = (half: number) => (half >>> 0).toString(16).padStart(8, "0");
  return digits(high) + digits(low);
}
