import { ModelFileError } from "../../base/errors.ts";
import { printValue } from "../../base/print-value.ts";
import type { ByteSource, FileFolder } from "../byte-source.ts";
import { MAX_TENSORS } from "../safetensors.ts";
import { type GgufHeader, type GgufTensor, readGgufHeader } from "./header.ts";
import type { GgufMetadata } from "./metadata.ts";

/** Name of one part of several, as llama.cpp's gguf-split writes it. */
const PART = /^(.*)-(\d{5})-of-(\d{5})(\.gguf)$/i;

/** Limit on the parts of a model, above all in use. Each stays open until the weights are loaded. */
const MAX_PARTS = 1000;

/** Contents of all parts of a model. */
export interface GgufFiles {
  /** Of the first part, which has all of it. */
  readonly metadata: GgufMetadata;
  readonly tensors: ReadonlyMap<string, GgufTensor>;
  readonly paths: readonly string[];
}

/** The name of the first part of a model that a file is a part of; the file itself if it is the whole model. */
export function firstPart(path: string): string {
  return path.replace(PART, (_, start, _part, count, end) => `${start}-00001-of-${count}${end}`);
}

/** Files of the format that hold no language model: image encoders, measurements for quantising, adapters. */
const NO_MODEL = /(^|[-_./])(mmproj|imatrix|lora|adapter|vocab)([-_.\d]|$)/i;

/**
 * Of a list of paths the GGUF files that hold a model, of files in parts the first. A model whose first part is not in the
 * list counts by another: opening it names what is missing.
 */
export function ggufModels(paths: readonly string[]): readonly string[] {
  const found = new Map<string, string>();
  for (const path of paths) {
    if (!/\.gguf$/i.test(path) || NO_MODEL.test(path)) continue;
    const first = firstPart(path);
    if (path === first || !found.has(first)) found.set(first, path);
  }
  return [...found.values()];
}

/**
 * Opens a model of one file or several and reads their headers.
 * opened: receives every file, so that the caller can close them, also after an error
 * @throws ModelFileError when a part is missing or belongs to another model
 */
export async function openParts(folder: FileFolder, path: string, opened: ByteSource[]): Promise<GgufFiles> {
  const first = firstPart(path);
  const open = async (part: string): Promise<GgufHeader> => {
    const source = await folder.open(part);
    if (!source) throw missing(folder, part, path);
    opened.push(source);
    return readGgufHeader(source);
  };
  const head = await open(first);
  const { metadata } = head;
  const count = metadata.get("split.count") ?? 0;
  if (count === 0 || count === 1) {
    if (first !== path)
      throw new ModelFileError(`opening ${folder.name}/${first}: it says that it is the whole model`);
    return { metadata, tensors: addTensors(new Map(), head, folder.name), paths: [first] };
  }
  const paths = partsOf(folder, first, count);
  const tensors = new Map<string, GgufTensor>();
  for (const [i, part] of paths.entries()) {
    const header = i === 0 ? head : await open(part);
    const { metadata: own } = header;
    if (own.get("split.no") !== i || own.get("split.count") !== count)
      throw new ModelFileError(
        `opening ${folder.name}/${part}: it says that it is part ${printValue(own.get("split.no"))} of ` +
          `${printValue(own.get("split.count"))}, counted from 0; expected part ${i} of ${printValue(count)}: the parts belong ` +
          "to different models, download all of them again",
      );
    addTensors(tensors, header, folder.name);
  }
  const promised = metadata.get("split.tensors.count");
  if (promised !== undefined && promised !== tensors.size)
    throw new ModelFileError(
      `opening ${folder.name}/${first}: it promises ${printValue(promised)} tensors, its ${paths.length} parts hold ${tensors.size}; ` +
        "download all of them again",
    );
  return { metadata, tensors, paths };
}

function missing(folder: FileFolder, part: string, named: string): ModelFileError {
  const reason = folder.whyMissing?.(part);
  const why = reason === undefined ? "" : ` (${reason})`;
  return new ModelFileError(
    part === named
      ? `opening ${folder.name}/${part}: there is no such file${why}`
      : `opening ${folder.name}/${named}: it is one of several parts, and ${part} is not there${why}; download it too`,
  );
}

function partsOf(folder: FileFolder, first: string, count: unknown): string[] {
  const name = PART.exec(first);
  if (typeof count !== "number" || !Number.isSafeInteger(count) || count < 2 || count > MAX_PARTS)
    throw new ModelFileError(
      `opening ${folder.name}/${first}: split.count is ${printValue(count)}; expected 1 to ${MAX_PARTS}`,
    );
  if (!name || Number(name[3]) !== count)
    throw new ModelFileError(
      `opening ${folder.name}/${first}: it is the first of ${count} parts; expected a name that ends in ` +
        `-00001-of-${String(count).padStart(5, "0")}.gguf, with the other parts beside it: give the files their own names back`,
    );
  const [, start, , of, end] = name;
  return Array.from({ length: count }, (_, i) => `${start}-${String(i + 1).padStart(5, "0")}-of-${of}${end}`);
}

function addTensors(
  tensors: Map<string, GgufTensor>,
  header: GgufHeader,
  folderName: string,
): ReadonlyMap<string, GgufTensor> {
  for (const tensor of header.tensors) {
    if (tensors.has(tensor.name))
      throw new ModelFileError(
        `opening ${folderName}: tensor ${printValue(tensor.name)} stands in two parts; download all of them again`,
      );
    tensors.set(tensor.name, tensor);
    if (tensors.size > MAX_TENSORS)
      throw new ModelFileError(`opening ${folderName}: its parts hold more than ${MAX_TENSORS} tensors`);
  }
  return tensors;
}
