/**
 * The safetensors format: 8 bytes little-endian header length, a JSON header, then the tensors' bytes.
 * Files are hostile: every number is checked against the file before anything is read or reserved.
 * Source: https://huggingface.co/docs/safetensors, "Format".
 */
import type { WeightDtype } from "../base/dtype.ts";
import { dtypeBytes } from "../base/dtype.ts";
import { ModelFileError } from "../base/errors.ts";
import type { ByteSource } from "./byte-source.ts";
import { isJsonObject, parseJsonObject } from "./json-file.ts";

/** The format's own limit on its header: 100 MB, so that a damaged length cannot make a reader reserve gigabytes. */
const MAX_HEADER_BYTES = 100_000_000;

/** Element sizes of every dtype the format knows; other names are an error. */
const ELEMENT_BYTES: Readonly<Record<string, number>> = {
  BOOL: 1, U8: 1, I8: 1, F8_E4M3: 1, F8_E5M2: 1, U16: 2, I16: 2, F16: 2, BF16: 2,
  U32: 4, I32: 4, F32: 4, U64: 8, I64: 8, F64: 8,
};

const WEIGHT_DTYPES: Readonly<Record<string, WeightDtype>> = { F32: "f32", F16: "f16", BF16: "bf16" };

/** Where a tensor stands in its file. */
export interface TensorEntry {
  readonly name: string;
  /** As the file spells it, e.g. "BF16". */
  readonly fileDtype: string;
  /** Set where the engine can compute with it. */
  readonly dtype: WeightDtype | undefined;
  readonly shape: readonly number[];
  readonly source: ByteSource;
  /** Bytes from the start of the file. */
  readonly offset: number;
  readonly sizeBytes: number;
}

/** Reads and checks a header. @throws ModelFileError naming the file, the tensor and the value. */
export async function readSafetensors(source: ByteSource): Promise<TensorEntry[]> {
  const file = source.name;
  const fail = (what: string) =>
    new ModelFileError(`reading ${file}: ${what}; the file is damaged or cut short, download it again`);
  if (source.sizeBytes < 8) throw fail(`expected at least 8 bytes, the file has ${source.sizeBytes}`);
  const lead = await source.read(0, 8);
  const headerBytes = Number(new DataView(lead.buffer, lead.byteOffset, 8).getBigUint64(0, true));
  if (headerBytes > MAX_HEADER_BYTES)
    throw fail(`its header claims ${headerBytes} bytes, more than the format's limit of ${MAX_HEADER_BYTES}`);
  if (8 + headerBytes > source.sizeBytes)
    throw fail(`its header claims ${headerBytes} bytes, the file has ${source.sizeBytes}`);
  const header = parseJsonObject(decodeUtf8(await source.read(8, headerBytes), fail), file);
  const dataStart = 8 + headerBytes;
  const entries: TensorEntry[] = [];
  for (const [name, value] of Object.entries(header))
    if (name !== "__metadata__") entries.push(readEntry(name, value, source, dataStart, fail));
  checkLayout(entries, source, dataStart, fail);
  return entries;
}

type Fail = (what: string) => ModelFileError;

function decodeUtf8(bytes: Uint8Array, fail: Fail): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw fail("its header is not valid UTF-8");
  }
}

function readEntry(name: string, value: unknown, source: ByteSource, dataStart: number, fail: Fail): TensorEntry {
  if (!isJsonObject(value)) throw fail(`tensor "${name}" has no description`);
  const { dtype, shape, data_offsets: offsets } = value;
  if (typeof dtype !== "string" || !Object.hasOwn(ELEMENT_BYTES, dtype))
    throw fail(`tensor "${name}" has the unknown dtype ${JSON.stringify(dtype)}`);
  if (!isSizeList(shape)) throw fail(`tensor "${name}" has the impossible shape ${JSON.stringify(shape)}`);
  if (!isSizeList(offsets) || offsets.length !== 2)
    throw fail(`tensor "${name}" has the impossible data_offsets ${JSON.stringify(offsets)}`);
  const [begin = 0, end = 0] = offsets;
  if (begin > end || dataStart + end > source.sizeBytes)
    throw fail(
      `tensor "${name}" has data_offsets ${begin} to ${end}, but the file holds ${source.sizeBytes - dataStart} bytes of data`,
    );
  const elements = shape.reduce((a, b) => a * b, 1);
  const expected = elements * (ELEMENT_BYTES[dtype] ?? 0);
  if (expected !== end - begin)
    throw fail(`tensor "${name}" of shape [${shape}] and dtype ${dtype} takes ${expected} bytes, its data_offsets hold ${end - begin}`);
  return {
    name, fileDtype: dtype, dtype: WEIGHT_DTYPES[dtype], shape, source,
    offset: dataStart + begin, sizeBytes: end - begin,
  };
}

function isSizeList(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((size) => Number.isSafeInteger(size) && size >= 0);
}

/** Tensors must fill the data without holes or overlaps, as the format asks. */
function checkLayout(entries: readonly TensorEntry[], source: ByteSource, dataStart: number, fail: Fail): void {
  const ordered = [...entries].sort((a, b) => a.offset - b.offset || a.sizeBytes - b.sizeBytes);
  let end = dataStart;
  let before = "the header";
  for (const entry of ordered) {
    if (entry.offset < end) throw fail(`tensors "${before}" and "${entry.name}" overlap`);
    if (entry.offset > end) throw fail(`${entry.offset - end} bytes before tensor "${entry.name}" belong to no tensor`);
    end = entry.offset + entry.sizeBytes;
    before = entry.name;
  }
  if (end !== source.sizeBytes)
    throw fail(`${source.sizeBytes - end} bytes at the end belong to no tensor`);
}

/** Bytes of one row of a matrix entry, or of a vector. */
export function rowBytes(entry: TensorEntry): number {
  const cols = entry.shape[entry.shape.length - 1] ?? 1;
  return cols * (entry.dtype ? dtypeBytes(entry.dtype) : 1);
}
