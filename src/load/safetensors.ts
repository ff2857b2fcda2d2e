/**
 * The safetensors format: 8 bytes little-endian header length, a JSON header, then the tensors' bytes.
 * Files are hostile: the reader checks every number against the file before it reads or allocates.
 * Source: https://huggingface.co/docs/safetensors, "Format".
 */

import { ModelFileError } from "../base/errors.ts";
import { isObject } from "../base/is-object.ts";
import { printValue } from "../base/print-value.ts";
import type { WeightFormat } from "../base/weight-format.ts";
import type { ByteSource } from "./byte-source.ts";
import { describeForeign, describeMagic, HEAD_BYTES } from "./foreign-file.ts";
import { parseJsonObject } from "./json-file.ts";
import { findDuplicateKey } from "./json-text.ts";
import type { TensorEntry } from "./tensor-entry.ts";

/** The format's own limit on a header, so that a damaged length cannot make a reader allocate gigabytes. */
const MAX_HEADER_BYTES = 100_000_000;

/** Size of the header length at the start of a file. */
const LENGTH_BYTES = 8;

/** Limit on tensors, above every checkpoint in use (the largest have 100,000, in 160 files). */
export const MAX_TENSORS = 1 << 18;

/** Allows 16 values a tensor; the description of a matrix has 8, counted as `findExcess` counts them. */
const HEADER_LIMITS = { maxDepth: 16, maxValues: 16 * MAX_TENSORS };

/** Bits an element of every dtype of the format. Elements below a byte are packed. */
const ELEMENT_BITS: Readonly<Record<string, number>> = {
  F4: 4,
  F6_E2M3: 6,
  F6_E3M2: 6,
  BOOL: 8,
  U8: 8,
  I8: 8,
  F8_E4M3: 8,
  F8_E5M2: 8,
  F8_E8M0: 8,
  F8_E4M3FNUZ: 8,
  F8_E5M2FNUZ: 8,
  U16: 16,
  I16: 16,
  F16: 16,
  BF16: 16,
  U32: 32,
  I32: 32,
  F32: 32,
  U64: 64,
  I64: 64,
  F64: 64,
  C64: 64,
};

const READ_FORMATS: Readonly<Record<string, WeightFormat>> = { F32: "f32", F16: "f16", BF16: "bf16" };

type Fail = (what: string) => ModelFileError;

/** A file's tensors, and what its writer says about it. */
export interface SafetensorsFile {
  readonly tensors: TensorEntry[];
  readonly metadata: Readonly<Record<string, string>>;
}

/** Reads and checks a header; returns the tensors. @throws ModelFileError naming the file, the tensor and the value. */
export async function readSafetensors(source: ByteSource): Promise<TensorEntry[]> {
  return (await readSafetensorsFile(source)).tensors;
}

/** Reads and checks a header. @throws ModelFileError naming the file, the tensor and the value. */
export async function readSafetensorsFile(source: ByteSource): Promise<SafetensorsFile> {
  const fail: Fail = (what) =>
    new ModelFileError(
      `reading ${source.name}: ${what}; the file is damaged or cut short, download it again`,
    );
  const lead = await source.read(0, Math.min(LENGTH_BYTES, source.sizeBytes));
  const foreign = describeMagic(lead) ?? (await describeText(lead, source));
  if (foreign !== undefined) throw new ModelFileError(`reading ${source.name}: it is ${foreign}`);
  const dataStart = findDataStart(lead, source, fail);
  const headerBytes = await source.read(LENGTH_BYTES, dataStart - LENGTH_BYTES);
  const text = decodeUtf8(headerBytes, fail);
  if (!text.startsWith("{"))
    throw fail(`its header does not start with "{" but with ${printValue(text.slice(0, 8))}`);
  const header = parseJsonObject(text, source.name, HEADER_LIMITS);
  const twice = findDuplicateKey(text);
  if (twice !== undefined) throw fail(`its header has the key ${printValue(twice)} twice in one object`);
  const metadata = readMetadata(header.__metadata__, fail);
  const entries: TensorEntry[] = [];
  for (const [name, value] of Object.entries(header)) {
    if (name === "__metadata__") continue;
    if (entries.length === MAX_TENSORS) throw fail(`its header names more than ${MAX_TENSORS} tensors`);
    entries.push(readEntry(name, value, source, dataStart, fail));
  }
  checkLayout(entries, source, dataStart, fail);
  return { tensors: entries, metadata };
}

/**
 * Describes a text, or zeros, in place of the file. A real header length is not zero and ends in zero bytes; bytes above
 * 0x7f count as a damaged length, since a text begins in ASCII.
 */
async function describeText(lead: Uint8Array, source: ByteSource): Promise<string | undefined> {
  const isLength =
    lead.some((byte) => byte !== 0) && lead.subarray(4).every((byte) => byte === 0 || byte > 0x7f);
  if (isLength) return undefined;
  return describeForeign(await source.read(0, Math.min(HEAD_BYTES, source.sizeBytes)), source.sizeBytes);
}

function findDataStart(lead: Uint8Array, source: ByteSource, fail: Fail): number {
  if (lead.length < LENGTH_BYTES)
    throw fail(`expected at least ${LENGTH_BYTES} bytes, the file has ${source.sizeBytes}`);
  const claimed = new DataView(lead.buffer, lead.byteOffset, LENGTH_BYTES).getBigUint64(0, true);
  if (claimed > BigInt(MAX_HEADER_BYTES))
    throw fail(`its header claims ${claimed} bytes, more than the format's limit of ${MAX_HEADER_BYTES}`);
  const dataStart = LENGTH_BYTES + Number(claimed);
  if (dataStart > source.sizeBytes)
    throw fail(`its header claims ${claimed} bytes, the file has ${source.sizeBytes}`);
  return dataStart;
}

function decodeUtf8(bytes: Uint8Array, fail: Fail): string {
  try {
    // keep a byte-order mark: it is not JSON, so the format requires an error
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw fail("its header is not valid UTF-8");
  }
}

function readMetadata(metadata: unknown, fail: Fail): Readonly<Record<string, string>> {
  if (metadata === undefined) return {};
  if (!isObject(metadata) || !Object.values(metadata).every((value) => typeof value === "string"))
    throw fail(`its __metadata__ must map texts to texts, got ${printValue(metadata)}`);
  return metadata as Readonly<Record<string, string>>;
}

function readEntry(
  name: string,
  value: unknown,
  source: ByteSource,
  dataStart: number,
  fail: Fail,
): TensorEntry {
  const tensor = `tensor ${printValue(name)}`;
  if (LONE_SURROGATE.test(name)) throw fail(`${tensor} has half a surrogate pair in its name`);
  if (!isObject(value)) throw fail(`${tensor} has no description but ${printValue(value)}`);
  const { dtype, shape, data_offsets: offsets } = value;
  if (typeof dtype !== "string" || !Object.hasOwn(ELEMENT_BITS, dtype))
    throw new ModelFileError(
      `reading ${source.name}: ${tensor} has the unknown dtype ${printValue(dtype)}; most likely the checkpoint is ` +
        "quantised in a way that is not read: take the one in BF16, F16 or F32",
    );
  if (!isSizeList(shape) || shape.length > MAX_RANK)
    throw fail(`${tensor} has the impossible shape ${printValue(shape)}`);
  if (!isSizeList(offsets) || offsets.length !== 2)
    throw fail(`${tensor} has the impossible data_offsets ${printValue(offsets)}`);
  const [begin = 0, end = 0] = offsets;
  if (begin > end || dataStart + end > source.sizeBytes)
    throw fail(
      `${tensor} has data_offsets ${begin} to ${end}, but the file holds ${source.sizeBytes - dataStart} bytes of data`,
    );
  const expected = (shape.reduce((elements, size) => elements * size, 1) * (ELEMENT_BITS[dtype] ?? 0)) / 8;
  if (expected !== end - begin)
    throw fail(
      `${tensor} of shape ${printValue(shape)} and dtype ${dtype} takes ${expected} bytes, its data_offsets hold ${end - begin}`,
    );
  const sizeBytes = end - begin;
  return {
    name,
    fileDtype: dtype,
    format: READ_FORMATS[dtype],
    shape,
    source,
    offset: dataStart + begin,
    sizeBytes,
  };
}

/** A lone surrogate has no UTF-8, so no other reader could find the tensor. */
const LONE_SURROGATE = /\p{Surrogate}/u;

/** Limit on a tensor's dimensions; tensors of models have at most 6. */
const MAX_RANK = 64;

function isSizeList(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((size) => Number.isSafeInteger(size) && size >= 0);
}

/** Checks that tensors fill the data without holes or overlaps, as the format requires. */
function checkLayout(
  entries: readonly TensorEntry[],
  source: ByteSource,
  dataStart: number,
  fail: Fail,
): void {
  const ordered = [...entries].sort((a, b) => a.offset - b.offset || a.sizeBytes - b.sizeBytes);
  let end = dataStart;
  let before = "";
  for (const entry of ordered) {
    const name = printValue(entry.name);
    if (entry.offset < end) throw fail(`tensors ${before} and ${name} overlap`);
    if (entry.offset > end)
      throw fail(`${entry.offset - end} bytes before tensor ${name} belong to no tensor`);
    end = entry.offset + entry.sizeBytes;
    before = name;
  }
  if (end !== source.sizeBytes) throw fail(`${source.sizeBytes - end} bytes at its end belong to no tensor`);
}
