/**
 * The GGUF format, versions 2 and 3: magic, counts, metadata, descriptions of the tensors, then their bytes.
 * Files are hostile: every count, length, type and offset is checked against the file before anything is allocated for it.
 * Source: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md; llama.cpp's gguf.cpp.
 */
import { ModelFileError } from "../../base/errors.ts";
import { printValue } from "../../base/print-value.ts";
import { type ByteSource, checkRange } from "../byte-source.ts";
import { describeForeign, HEAD_BYTES } from "../foreign-file.ts";
import { MAX_TENSORS } from "../safetensors.ts";
import { HeaderReader } from "./header-reader.ts";
import { type GgufMetadata, readMetadata } from "./metadata.ts";
import { READ_TYPES, TENSOR_TYPES, type TensorType } from "./tensor-types.ts";

/** Limits of llama.cpp. */
const MAX_DIMENSIONS = 4;
/** llama.cpp's own is 64. */
const MAX_NAME_BYTES = 1024;
/** Where the tensors' bytes begin, and each tensor's, unless `general.alignment` says otherwise. */
const DEFAULT_ALIGNMENT = 32;

/** A tensor's place in its file. */
export interface GgufTensor {
  readonly name: string;
  readonly type: TensorType;
  /** Rows first, elements of a row last: GGUF's own order reversed. */
  readonly shape: readonly number[];
  /** Bytes from the start of the file. */
  readonly offset: number;
  readonly sizeBytes: number;
  readonly source: ByteSource;
}

/** Contents of a GGUF file but for the tensors' bytes. */
export interface GgufHeader {
  readonly version: number;
  readonly metadata: GgufMetadata;
  readonly tensors: readonly GgufTensor[];
}

/** Reads and checks a header. @throws ModelFileError naming the file, the key or tensor, and the value. */
export async function readGgufHeader(source: ByteSource): Promise<GgufHeader> {
  const reader = new HeaderReader(source);
  const version = await readVersion(reader, source);
  await reader.need(16, "its counts");
  const numTensors = reader.u64();
  const numKeys = reader.u64();
  if (numTensors > BigInt(MAX_TENSORS))
    throw reader.fail(`it claims ${numTensors} tensors; expected at most ${MAX_TENSORS}`);
  const metadata = await readMetadata(reader, numKeys);
  const infos: TensorInfo[] = [];
  const names = new Set<string>();
  for (let i = 0; i < Number(numTensors); i++) {
    const info = await readTensorInfo(reader);
    if (names.has(info.name)) throw reader.fail(`two tensors have the name ${printValue(info.name)}`);
    names.add(info.name);
    infos.push(info);
  }
  const alignment = readAlignment(metadata, reader);
  const dataStart = Math.ceil(reader.position / alignment) * alignment;
  const tensors = infos.map((info) => placeTensor(info, { source, alignment, dataStart }, reader));
  checkOverlaps(tensors, reader);
  return { version, metadata, tensors };
}

async function readVersion(reader: HeaderReader, source: ByteSource): Promise<number> {
  if (source.sizeBytes < 24)
    throw new ModelFileError(
      `reading ${source.name}: it is ${source.sizeBytes === 0 ? "empty" : `no GGUF file (${source.sizeBytes} bytes)`}; download it again`,
    );
  await reader.need(8, "its magic number");
  const magic = reader.u32();
  if (magic !== 0x46554747) {
    checkRange(source, 0, Math.min(HEAD_BYTES, source.sizeBytes));
    const head = await source.read(0, Math.min(HEAD_BYTES, source.sizeBytes));
    const foreign = describeForeign(head, source.sizeBytes);
    throw new ModelFileError(
      `reading ${source.name}: it is ${foreign ?? 'no GGUF file: it does not begin with "GGUF"; download it again'}`,
    );
  }
  const version = reader.u32();
  if (version === 2 || version === 3) return version;
  const refuse = (why: string) =>
    new ModelFileError(
      `reading ${source.name}: ${why}; expected version 2 or 3, little-endian: take another file of the model, or ` +
        "convert it with llama.cpp's tools",
    );
  if ((version & 0xffff) === 0 && version !== 0) throw refuse("it is a big-endian GGUF file");
  throw refuse(`it is GGUF of version ${version}`);
}

interface TensorInfo {
  readonly name: string;
  readonly type: TensorType;
  readonly shape: readonly number[];
  readonly relativeOffset: bigint;
}

async function readTensorInfo(reader: HeaderReader): Promise<TensorInfo> {
  const name = await reader.text("a tensor's name", MAX_NAME_BYTES);
  const tensor = `tensor ${printValue(name)}`;
  await reader.need(4, `the dimensions of ${tensor}`);
  const numDimensions = reader.u32();
  if (numDimensions === 0 || numDimensions > MAX_DIMENSIONS)
    throw reader.fail(`${tensor} has ${numDimensions} dimensions; expected 1 to ${MAX_DIMENSIONS}`);
  await reader.need(8 * numDimensions + 12, `the description of ${tensor}`);
  const sizes = Array.from({ length: numDimensions }, () => reader.u64());
  const elements = sizes.reduce((product, size) => product * size, 1n);
  if (elements === 0n || elements > BigInt(Number.MAX_SAFE_INTEGER))
    throw reader.fail(`${tensor} has the impossible shape [${sizes}]`);
  const code = reader.u32();
  const type = TENSOR_TYPES.get(code);
  if (!type)
    throw reader.fail(
      `${tensor} has the unknown type ${code} (if the file is whole, it is of a newer or an abandoned format: take one in ` +
        `${READ_TYPES.join(", ")})`,
    );
  return { name, type, shape: sizes.map(Number).reverse(), relativeOffset: reader.u64() };
}

function readAlignment(metadata: GgufMetadata, reader: HeaderReader): number {
  const alignment = metadata.get("general.alignment") ?? DEFAULT_ALIGNMENT;
  const isPowerOfTwo = (value: number) => Number.isInteger(Math.log2(value));
  if (typeof alignment !== "number" || alignment < 1 || alignment > 2 ** 31 || !isPowerOfTwo(alignment))
    throw reader.fail(`general.alignment is ${printValue(alignment)}; expected a power of two`);
  return alignment;
}

function placeTensor(
  { name, type, shape, relativeOffset }: TensorInfo,
  data: { readonly source: ByteSource; readonly alignment: number; readonly dataStart: number },
  reader: HeaderReader,
): GgufTensor {
  const tensor = `tensor ${printValue(name)} of shape [${shape}] and type ${type.name}`;
  const rowElements = shape.at(-1) ?? 0;
  if (rowElements % type.blockElements !== 0)
    throw reader.fail(`${tensor} has rows that are not whole blocks of ${type.blockElements} elements`);
  const elements = shape.reduce((product, size) => product * size, 1);
  const sizeBytes = (elements / type.blockElements) * type.blockBytes;
  const dataBytes = data.source.sizeBytes - data.dataStart;
  if (relativeOffset % BigInt(data.alignment) !== 0n)
    throw reader.fail(`${tensor} begins at ${relativeOffset}, which is no multiple of ${data.alignment}`);
  if (relativeOffset + BigInt(sizeBytes) > BigInt(Math.max(0, dataBytes)))
    throw reader.fail(
      `${tensor} takes ${sizeBytes} bytes from ${relativeOffset}, but the file holds ${Math.max(0, dataBytes)} bytes of data`,
    );
  return {
    name,
    type,
    shape,
    offset: data.dataStart + Number(relativeOffset),
    sizeBytes,
    source: data.source,
  };
}

function checkOverlaps(tensors: readonly GgufTensor[], reader: HeaderReader): void {
  const ordered = [...tensors].sort((a, b) => a.offset - b.offset || a.sizeBytes - b.sizeBytes);
  let end = 0;
  let before = "";
  for (const { name, offset, sizeBytes } of ordered) {
    if (offset < end) throw reader.fail(`tensors ${printValue(before)} and ${printValue(name)} overlap`);
    end = offset + sizeBytes;
    before = name;
  }
}
