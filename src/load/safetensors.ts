/**
 * The safetensors format: 8 bytes little-endian header length, a JSON header, then the tensors' bytes.
 * Files are hostile: every number is checked against the file before anything is read or reserved.
 * Source: https://huggingface.co/docs/safetensors, "Format".
 */
import type { WeightDtype } from "../base/dtype.ts";
import { ModelFileError } from "../base/errors.ts";
import type { ByteSource } from "./byte-source.ts";
import { findDuplicateKey, isJsonObject, parseJsonObject, showValue } from "./json-file.ts";

/** The format's own limit on its header: 100 MB, so that a damaged length cannot make a reader reserve gigabytes. */
const MAX_HEADER_BYTES = 100_000_000;

/** Bytes that hold the header's length. */
const LENGTH_BYTES = 8;

/** Element sizes of every dtype with whole bytes that the format knows; other names are an error. */
const ELEMENT_BYTES: Readonly<Record<string, number>> = {
  BOOL: 1,
  U8: 1,
  I8: 1,
  F8_E4M3: 1,
  F8_E5M2: 1,
  F8_E8M0: 1,
  F8_E4M3FNUZ: 1,
  F8_E5M2FNUZ: 1,
  U16: 2,
  I16: 2,
  F16: 2,
  BF16: 2,
  U32: 4,
  I32: 4,
  F32: 4,
  U64: 8,
  I64: 8,
  F64: 8,
  C64: 8,
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
  /** The open file. Owned by the checkpoint. */
  readonly source: ByteSource;
  /** Bytes from the start of the file. */
  readonly offset: number;
  readonly sizeBytes: number;
}

type Fail = (what: string) => ModelFileError;

/** Reads and checks a header. @throws ModelFileError naming the file, the tensor and the value. */
export async function readSafetensors(source: ByteSource): Promise<TensorEntry[]> {
  const fail: Fail = (what) =>
    new ModelFileError(
      `reading ${source.name}: ${what}; the file is damaged or cut short, download it again`,
    );
  const dataStart = await readDataStart(source, fail);
  const headerBytes = await source.read(LENGTH_BYTES, dataStart - LENGTH_BYTES);
  const text = decodeUtf8(headerBytes, fail);
  if (!text.startsWith("{"))
    throw fail(`its header does not start with "{" but with ${showValue(text.slice(0, 8))}`);
  const header = parseJsonObject(text, source.name);
  const twice = findDuplicateKey(text);
  if (twice !== undefined) throw fail(`its header has the key ${showValue(twice)} twice in one object`);
  checkMetadata(header.__metadata__, fail);
  const entries: TensorEntry[] = [];
  for (const [name, value] of Object.entries(header))
    if (name !== "__metadata__") entries.push(readEntry(name, value, source, dataStart, fail));
  checkLayout(entries, source, dataStart, fail);
  return entries;
}

async function readDataStart(source: ByteSource, fail: Fail): Promise<number> {
  if (source.sizeBytes < LENGTH_BYTES)
    throw fail(`expected at least ${LENGTH_BYTES} bytes, the file has ${source.sizeBytes}`);
  const lead = await source.read(0, LENGTH_BYTES);
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
    // a byte-order mark is no JSON: keep it, so that it is refused as the format asks
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw fail("its header is not valid UTF-8");
  }
}

function checkMetadata(metadata: unknown, fail: Fail): void {
  if (metadata === undefined) return;
  if (!isJsonObject(metadata) || !Object.values(metadata).every((value) => typeof value === "string"))
    throw fail(`its __metadata__ must map texts to texts, got ${showValue(metadata)}`);
}

function readEntry(
  name: string,
  value: unknown,
  source: ByteSource,
  dataStart: number,
  fail: Fail,
): TensorEntry {
  const tensor = `tensor ${showValue(name)}`;
  if (!isJsonObject(value)) throw fail(`${tensor} has no description but ${showValue(value)}`);
  const { dtype, shape, data_offsets: offsets } = value;
  if (typeof dtype !== "string" || !Object.hasOwn(ELEMENT_BYTES, dtype))
    throw fail(`${tensor} has the unknown dtype ${showValue(dtype)}`);
  if (!isSizeList(shape)) throw fail(`${tensor} has the impossible shape ${showValue(shape)}`);
  if (!isSizeList(offsets) || offsets.length !== 2)
    throw fail(`${tensor} has the impossible data_offsets ${showValue(offsets)}`);
  const [begin = 0, end = 0] = offsets;
  if (begin > end || dataStart + end > source.sizeBytes)
    throw fail(
      `${tensor} has data_offsets ${begin} to ${end}, but the file holds ${source.sizeBytes - dataStart} bytes of data`,
    );
  const expected = shape.reduce((elements, size) => elements * size, 1) * (ELEMENT_BYTES[dtype] ?? 0);
  if (expected !== end - begin)
    throw fail(
      `${tensor} of shape ${showValue(shape)} and dtype ${dtype} takes ${expected} bytes, its data_offsets hold ${end - begin}`,
    );
  const sizeBytes = end - begin;
  return {
    name,
    fileDtype: dtype,
    dtype: WEIGHT_DTYPES[dtype],
    shape,
    source,
    offset: dataStart + begin,
    sizeBytes,
  };
}

function isSizeList(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((size) => Number.isSafeInteger(size) && size >= 0);
}

/** Tensors must fill the data without holes or overlaps, as the format asks. */
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
    const name = showValue(entry.name);
    if (entry.offset < end) throw fail(`tensors ${before} and ${name} overlap`);
    if (entry.offset > end)
      throw fail(`${entry.offset - end} bytes before tensor ${name} belong to no tensor`);
    end = entry.offset + entry.sizeBytes;
    before = name;
  }
  if (end !== source.sizeBytes) throw fail(`${source.sizeBytes - end} bytes at its end belong to no tensor`);
}
