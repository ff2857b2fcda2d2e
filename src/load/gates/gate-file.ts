/**
 * Reads the gates of SeerAttention-R: names and shapes are those of the published gates, as .safetensors or .pth. What a gate is
 * (`seerattn_…`) stands in config.json beside it, or in the metadata of the .safetensors file, which counts first.
 */
import { ConfigError, ModelFileError } from "../../base/errors.ts";
import { printValue } from "../../base/print-value.ts";
import { decodeWeights } from "../../base/weight-format.ts";
import type { ByteSource, FileFolder } from "../byte-source.ts";
import { guardFolder } from "../guarded-folder.ts";
import { type JsonObject, readJsonObject } from "../json-file.ts";
import { missingFiles } from "../missing-files.ts";
import { readSafetensorsFile } from "../safetensors.ts";
import type { TensorEntry } from "../tensor-entry.ts";
import { readTorchFile } from "./torch-file.ts";

/** Beside a model, the gate of which it is. */
export const GATE_FILE = "seer-attention-gates.safetensors";
/** Names of gates in a folder, in the order in which they are looked for. */
export const GATE_FILES: readonly string[] = [
  GATE_FILE,
  "attn_gate_weights.safetensors",
  "attn_gate_weights.pth",
];

/** Sizes of the model that the gates belong to. */
export interface GatedModel {
  readonly numLayers: number;
  readonly numQueryHeads: number;
  readonly numKvHeads: number;
  readonly headDim: number;
}

/** Weights of one layer's gate, row-major. */
export interface GateWeights {
  /** [numQueryHeads, headDim, gateDim] */
  readonly q: Float32Array;
  /** [numKvHeads, 3 * headDim, gateDim] */
  readonly k: Float32Array;
  /** [gateDim] */
  readonly qNorm?: Float32Array;
  readonly kNorm?: Float32Array;
}

export interface GateFile {
  /** Names the file in messages. */
  readonly name: string;
  readonly blockSize: number;
  readonly gateDim: number;
  readonly usesRope: boolean;
  readonly startLayer: number;
  /** Reads the weights of a layer, from `startLayer` on. @throws ModelFileError */
  read(layer: number): Promise<GateWeights>;
  close(): Promise<void>;
}

const MAX_GATE_DIM = 1024;
const MAX_BLOCK_SIZE = 4096;

/** Opens the gates in a folder, or its `weightFile`. @throws ModelFileError, ConfigError */
export async function openGateFile(given: FileFolder, model: GatedModel): Promise<GateFile> {
  const folder = guardFolder(given);
  const names = folder.weightFile === undefined ? GATE_FILES : [folder.weightFile];
  for (const name of names) {
    const source = await folder.open(name);
    if (!source) continue;
    try {
      return await openIn(folder, source, model);
    } catch (error) {
      await source.close?.();
      throw error;
    }
  }
  throw await missingFiles(folder, names);
}

async function openIn(folder: FileFolder, source: ByteSource, model: GatedModel): Promise<GateFile> {
  const isTorch = /\.pth$/i.test(source.name);
  const { tensors, metadata } = isTorch
    ? { tensors: await readTorchFile(source), metadata: {} }
    : await readSafetensorsFile(source);
  const fields = { ...ownFields(await readJsonObject(folder, "config.json")), ...parsed(metadata, source) };
  const layout = readLayout(fields, source.name, model);
  const byName = new Map(tensors.map((tensor) => [tensor.name, tensor]));
  const gateDim = gateDimOf(byName, layout, source);
  for (let layer = layout.startLayer; layer < model.numLayers; layer++)
    for (const { part, shape, isNeeded } of partsOf(model, gateDim, layout.hasNorms))
      checkTensor(byName.get(nameOf(layer, part)), { name: nameOf(layer, part), shape, isNeeded, source });
  checkNoMore(byName, model, source);
  return {
    name: source.name,
    ...layout,
    gateDim,
    read: async (layer) => {
      const read = async (part: string) => readTensor(byName.get(nameOf(layer, part)), source);
      const [qNorm, kNorm] = [await read("qnorm"), await read("knorm")];
      const [q, k] = [await read("linear_q"), await read("linear_k")];
      if (!q || !k) throw new ModelFileError(`reading ${source.name}: it has no gate of layer ${layer}`);
      return { q, k, ...(qNorm && { qNorm }), ...(kNorm && { kNorm }) };
    },
    close: async () => source.close?.(),
  };
}

function nameOf(layer: number, part: string): string {
  return `model.layers.${layer}.self_attn.attn_gate.attngate_${part}.weight`;
}

/** Fields of gates in a model's or a gate's config.json. */
function ownFields(config: JsonObject | undefined): JsonObject {
  return Object.fromEntries(Object.entries(config ?? {}).filter(([key]) => key.startsWith("seerattn_")));
}

/** The same of a file's metadata, whose values are texts. */
function parsed(metadata: Readonly<Record<string, string>>, source: ByteSource): JsonObject {
  return Object.fromEntries(
    Object.entries(ownFields(metadata)).map(([key, text]) => {
      try {
        return [key, JSON.parse(String(text)) as unknown];
      } catch (cause) {
        throw new ModelFileError(
          `reading ${source.name}: the metadata ${key} is no JSON but ${printValue(text)}; write the file again`,
          { cause },
        );
      }
    }),
  );
}

interface GateLayout {
  readonly blockSize: number;
  readonly gateDim: number | undefined;
  readonly usesRope: boolean;
  readonly hasNorms: boolean | undefined;
  readonly startLayer: number;
}

function readLayout(fields: JsonObject, file: string, { numLayers }: GatedModel): GateLayout {
  const wrong = (key: string, expected: string) =>
    new ModelFileError(
      `reading the gate ${file}: expected ${key} ${expected}, got ${printValue(fields[key])}; it stands in config.json ` +
        "beside the gate, or in the metadata of its .safetensors file",
    );
  const whole = (key: string, least: number, most: number): number => {
    const value = fields[key];
    if (typeof value === "number" && Number.isSafeInteger(value) && value >= least && value <= most)
      return value;
    throw wrong(key, `as a whole number from ${least} to ${most}`);
  };
  const flag = (key: string): boolean | undefined => {
    const value = fields[key];
    if (value === undefined || typeof value === "boolean") return value;
    throw wrong(key, "as true or false");
  };
  const only = (key: string, value: string) => {
    if (fields[key] === undefined || fields[key] === value) return;
    throw new ConfigError(
      `attention seer-attention-r: the gate ${file} has ${key} ${printValue(fields[key])}; only ${value} is supported`,
    );
  };
  only("seerattn_k_seq_pooling_type", "Kmaxminavg");
  only("seerattn_q_head_pooling_type", "Qproj");
  return {
    blockSize: whole("seerattn_gate_block_size", 1, MAX_BLOCK_SIZE),
    gateDim:
      fields.seerattn_gate_hidden_size === undefined
        ? undefined
        : whole("seerattn_gate_hidden_size", 2, MAX_GATE_DIM),
    usesRope: flag("seerattn_use_rope") ?? true,
    hasNorms: flag("seerattn_use_qk_norm"),
    startLayer:
      fields.seerattn_start_layer === undefined ? 0 : whole("seerattn_start_layer", 0, numLayers - 1),
  };
}

/** The gate's size: the last dimension of its weights, which the config must not contradict. */
function gateDimOf(
  tensors: ReadonlyMap<string, TensorEntry>,
  { gateDim, startLayer }: GateLayout,
  source: ByteSource,
): number {
  const found = tensors.get(nameOf(startLayer, "linear_q"))?.shape.at(-1);
  if (found === undefined)
    throw new ModelFileError(
      `reading ${source.name}: there is no ${nameOf(startLayer, "linear_q")}; it holds no gate of SeerAttention-R for decoding`,
    );
  if (found < 2 || found % 2 !== 0 || found > MAX_GATE_DIM || (gateDim ?? found) !== found)
    throw new ModelFileError(
      `reading ${source.name}: expected gates of ${gateDim ?? `an even number up to ${MAX_GATE_DIM}`} elements, got ${found}`,
    );
  return found;
}

/** Tensors of a layer: their shapes, and whether one may be left out. */
function partsOf({ numQueryHeads, numKvHeads, headDim }: GatedModel, gateDim: number, hasNorms?: boolean) {
  const groupSize = numQueryHeads / numKvHeads;
  return [
    { part: "linear_q", shape: [numKvHeads, groupSize, headDim, gateDim], isNeeded: true },
    { part: "linear_k", shape: [numKvHeads, 3 * headDim, gateDim], isNeeded: true },
    { part: "qnorm", shape: [gateDim], isNeeded: hasNorms },
    { part: "knorm", shape: [gateDim], isNeeded: hasNorms },
  ];
}

function checkTensor(
  tensor: TensorEntry | undefined,
  wanted: {
    readonly name: string;
    readonly shape: readonly number[];
    /** undefined: both will do. */
    readonly isNeeded: boolean | undefined;
    readonly source: ByteSource;
  },
): void {
  const { name, shape, isNeeded, source } = wanted;
  const doing = `reading ${source.name}: tensor ${name}`;
  if (!tensor) {
    if (isNeeded) throw new ModelFileError(`${doing} is missing; download the file again`);
    return;
  }
  if (isNeeded === false)
    throw new ModelFileError(`${doing} is there, although seerattn_use_qk_norm is false`);
  if (tensor.format === undefined)
    throw new ModelFileError(`${doing} is of ${tensor.fileDtype}; expected F32, F16 or BF16`);
  if (tensor.shape.length !== shape.length || tensor.shape.some((size, i) => size !== shape[i]))
    throw new ModelFileError(
      `${doing}: expected the shape [${shape}] of a gate for this model, got [${tensor.shape}]; the gate belongs to another model`,
    );
}

/** @throws ModelFileError for gates of more layers than the model has: they belong to another model */
function checkNoMore(
  tensors: ReadonlyMap<string, TensorEntry>,
  { numLayers }: GatedModel,
  source: ByteSource,
): void {
  for (const name of tensors.keys()) {
    const [, layer] = /^model\.layers\.(\d+)\.self_attn\.attn_gate\./.exec(name) ?? [];
    if (layer !== undefined && Number(layer) >= numLayers)
      throw new ModelFileError(
        `reading ${source.name}: it has a gate of layer ${layer}, the model has ${numLayers} layers; the gate belongs to another model`,
      );
  }
}

async function readTensor(
  tensor: TensorEntry | undefined,
  source: ByteSource,
): Promise<Float32Array | undefined> {
  if (!tensor?.format) return undefined;
  const values = new Float32Array(tensor.shape.reduce((elements, size) => elements * size, 1));
  decodeWeights(await source.read(tensor.offset, tensor.sizeBytes), tensor.format, values);
  if (values.every(Number.isFinite)) return values;
  throw new ModelFileError(`reading ${source.name}: tensor ${tensor.name} holds NaN or infinity`);
}
