/**
 * The form of a saved session: a safetensors file of `token_ids`, `kv` and, of a policy with a gate, the gate's data of each page. The
 * metadata say what the engine must be like. Files are hostile: a header has one right text for its metadata and sizes, and all
 * sizes are compared with the file's length before anything is allocated.
 */
import { type CacheDtype, cacheRowBytes } from "../base/cache-dtype.ts";
import { OutOfMemoryError, SessionError } from "../base/errors.ts";
import { Fingerprint } from "../base/fingerprint.ts";
import { isObject } from "../base/is-object.ts";
import { mebibytes } from "../base/mebibytes.ts";
import { printValue } from "../base/print-value.ts";
import { findExcess } from "../load/json-text.ts";

const FORMAT = "lessismore-session";
/** Raised with every change of the form. */
const VERSION = "1";
const LENGTH_BYTES = 8;
const HEADER_LIMITS = { maxDepth: 4, maxValues: 256 };
/** Far above any header, whose texts are names and a policy's settings. */
const MAX_HEADER_BYTES = 1 << 16;
const ELEMENT_TYPES: Readonly<Record<CacheDtype, string>> = { f32: "F32", f16: "F16", q8: "U8" };

/** What a session depends on, and what its readers are told. */
export interface SessionFacts {
  /** The model's fingerprint. */
  readonly model: string;
  readonly modelName: string;
  readonly cacheDtype: CacheDtype;
  readonly pageSize: number;
  /** Range of each RoPE of the model, by `RopeWriter.rangeOf`. */
  readonly ropeRanges: readonly string[];
  readonly backend: string;
  /** First tokens whose keys prefill computed, all before them included. */
  readonly denseTokens: number;
  /** Key of the policy under which the others were decoded; absent if there are none. */
  readonly decodedUnder?: string | undefined;
  /** Fingerprint of the gate whose data it has. */
  readonly gate?: string | undefined;
}

/** Sizes of a session's arrays. */
export interface SessionSizes {
  readonly numLayers: number;
  readonly numKvHeads: number;
  readonly headDim: number;
  readonly cacheDtype: CacheDtype;
  readonly pageSize: number;
  /** Of the gate: layers that have one, and elements of a key. */
  readonly gate?: { readonly numLayers: number; readonly gateDim: number } | undefined;
}

/** The arrays of a session, as views of its file. */
export interface SessionArrays {
  /** i32 [numTokens] */
  readonly tokenIds: Int32Array;
  /** Rows of `CachePages`, page after page. */
  readonly kv: Uint8Array;
  /** f32 [gated layers, pages, numKvHeads, 3, headDim] and [gated layers, pages, numKvHeads, gateDim]; empty without a gate. */
  readonly pools: Float32Array;
  readonly blockKeys: Float32Array;
}

interface Entry {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly bytes: number;
}

function entriesOf(sizes: SessionSizes, numTokens: number): readonly Entry[] {
  const { numLayers, numKvHeads, headDim, cacheDtype, pageSize, gate } = sizes;
  const rowBytes = cacheRowBytes(cacheDtype, headDim);
  const entry = (name: string, dtype: string, elementBytes: number, shape: readonly number[]): Entry => ({
    ...{ name, dtype, shape },
    bytes: shape.reduce((product, size) => product * size, elementBytes),
  });
  const row = cacheDtype === "q8" ? rowBytes : headDim;
  const numPages = numTokens / pageSize;
  return [
    entry("token_ids", "I32", 4, [numTokens]),
    entry("kv", ELEMENT_TYPES[cacheDtype], rowBytes / row, [numTokens, numLayers, 2, numKvHeads, row]),
    ...(gate
      ? [
          entry("gate_pools", "F32", 4, [gate.numLayers, numPages, numKvHeads, 3, headDim]),
          entry("gate_block_keys", "F32", 4, [gate.numLayers, numPages, numKvHeads, gate.gateDim]),
        ]
      : []),
  ];
}

/** The only header of these metadata and sizes, padded so that the data stand at a multiple of 8. */
function headerOf(metadata: Readonly<Record<string, string>>, entries: readonly Entry[]): Uint8Array {
  const header: Record<string, unknown> = { __metadata__: metadata };
  let end = 0;
  for (const { name, dtype, shape, bytes } of entries) {
    header[name] = { dtype, shape, data_offsets: [end, end + bytes] };
    end += bytes;
  }
  const text = new TextEncoder().encode(JSON.stringify(header));
  const padded = new Uint8Array(Math.ceil(text.length / 8) * 8).fill(0x20);
  padded.set(text);
  return padded;
}

function metadataOf(facts: SessionFacts, checksum: string): Readonly<Record<string, string>> {
  const { model, modelName, cacheDtype, pageSize, ropeRanges, backend, denseTokens, decodedUnder, gate } =
    facts;
  return {
    ...{ format: FORMAT, version: VERSION, model, model_name: modelName.slice(0, 200) },
    ...{ cache_dtype: cacheDtype, page_size: String(pageSize), rope: JSON.stringify(ropeRanges), backend },
    dense_tokens: String(denseTokens),
    ...(decodedUnder !== undefined && { decoded_under: decodedUnder }),
    ...(gate !== undefined && { gate }),
    checksum,
  };
}

const NO_CHECKSUM = "0".repeat(16);

function checksumOf(metadata: Readonly<Record<string, string>>, data: Uint8Array): string {
  const { checksum: _, ...others } = metadata;
  return new Fingerprint().addText(JSON.stringify(others)).addBytes(data).toString();
}

/** A session whose arrays the caller fills before `finish`. @throws OutOfMemoryError */
export function createSessionFile(
  facts: SessionFacts,
  sizes: SessionSizes,
  numTokens: number,
): { readonly arrays: SessionArrays; finish(): Uint8Array<ArrayBuffer> } {
  const entries = entriesOf(sizes, numTokens);
  const header = headerOf(metadataOf(facts, NO_CHECKSUM), entries);
  const dataStart = LENGTH_BYTES + header.length;
  const bytes = allocate(dataStart + sizeOf(entries), numTokens);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(header.length), true);
  return {
    arrays: arraysOf(bytes, dataStart, entries),
    finish: () => {
      const checksum = checksumOf(metadataOf(facts, NO_CHECKSUM), bytes.subarray(dataStart));
      bytes.set(headerOf(metadataOf(facts, checksum), entries), LENGTH_BYTES);
      return bytes;
    },
  };
}

function sizeOf(entries: readonly Entry[]): number {
  return entries.reduce((sum, entry) => sum + entry.bytes, 0);
}

function allocate(sizeBytes: number, numTokens: number): Uint8Array<ArrayBuffer> {
  try {
    return new Uint8Array(sizeBytes);
  } catch (cause) {
    throw new OutOfMemoryError(
      `saveSession: the keys and values of ${numTokens} tokens take ${mebibytes(sizeBytes)}, for which there is no memory in one ` +
        "array; save the beginning of the conversation alone, or open the engine with cacheDtype q8",
      { cause },
    );
  }
}

function arraysOf(
  bytes: Uint8Array<ArrayBuffer>,
  dataStart: number,
  entries: readonly Entry[],
): SessionArrays {
  let at = bytes.byteOffset + dataStart;
  const places = entries.map((entry) => {
    const start = at;
    at += entry.bytes;
    return { start, bytes: entry.bytes };
  });
  const [ids, kv, pools, keys] = places;
  const floats = (place: typeof ids) =>
    place ? new Float32Array(bytes.buffer, place.start, place.bytes / 4) : new Float32Array(0);
  if (!ids || !kv) throw new RangeError("a session has token ids and keys and values");
  return {
    tokenIds: new Int32Array(bytes.buffer, ids.start, ids.bytes / 4),
    kv: new Uint8Array(bytes.buffer, kv.start, kv.bytes),
    pools: floats(pools),
    blockKeys: floats(keys),
  };
}

/** A session that was read. */
export interface SessionFile extends SessionArrays {
  readonly facts: SessionFacts;
}

/** What a session must fit: the engine as it would save. */
export interface SessionReader {
  readonly facts: Pick<SessionFacts, "model" | "modelName" | "cacheDtype" | "pageSize"> & {
    readonly numRopes: number;
  };
  readonly sizes: Omit<SessionSizes, "gate">;
  readonly vocabSize: number;
  readonly maxTokens: number;
  /** Sizes of a gate's data by the fingerprint of the gate; undefined for another gate, whose data are passed over. */
  gateSizes(fingerprint: string): SessionSizes["gate"];
}

/** Reads and checks a session. @throws SessionError */
export function readSessionFile(given: Uint8Array, reader: SessionReader): SessionFile {
  const { text, dataStart } = readHeader(given);
  const header = parseHeader(text);
  const metadata = readMetadata(header.__metadata__);
  checkFits(metadata, reader.facts);
  const facts = readFacts(metadata, reader.facts.numRopes);
  const numTokens = readNumTokens(header.token_ids, reader);
  const gate = facts.gate === undefined ? undefined : readGateSizes(header.gate_block_keys);
  const entries = entriesOf({ ...reader.sizes, gate }, numTokens);
  const expected = new TextDecoder().decode(headerOf(metadata, entries));
  if (text !== expected)
    throw damaged("its header does not describe the keys and values that its metadata promise");
  const expectedBytes = dataStart + sizeOf(entries);
  if (given.length !== expectedBytes)
    throw damaged(
      `${numTokens} tokens take ${expectedBytes} bytes, and it has ${given.length}: it was cut, or more was added`,
    );
  if (facts.denseTokens > numTokens || facts.denseTokens % facts.pageSize !== 0)
    throw damaged(`its first ${facts.denseTokens} tokens are no whole pages of its ${numTokens}`);
  if (metadata.checksum !== checksumOf(metadata, given.subarray(dataStart)))
    throw damaged("its contents do not have its checksum");
  // arrays of floats stand at multiples of 4 in memory
  const bytes =
    given.byteOffset % 8 === 0 && given.buffer instanceof ArrayBuffer ? given : new Uint8Array(given);
  const arrays = arraysOf(bytes as Uint8Array<ArrayBuffer>, dataStart, entries);
  for (const id of arrays.tokenIds)
    if (!(id >= 0 && id < reader.vocabSize))
      throw damaged(`token id ${id} is not in the vocabulary of ${reader.vocabSize}`);
  const known = facts.gate === undefined ? undefined : reader.gateSizes(facts.gate);
  const isKnown =
    known !== undefined && known.numLayers === gate?.numLayers && known.gateDim === gate.gateDim;
  return { facts: isKnown ? facts : { ...facts, gate: undefined }, ...arrays };
}

function damaged(what: string, cause?: unknown): SessionError {
  return new SessionError(
    `loading a session: ${what}; it is damaged: save the conversation again, or go on from its text`,
    { reason: "damaged", cause },
  );
}

function readHeader(bytes: Uint8Array): { readonly text: string; readonly dataStart: number } {
  if (bytes.length < LENGTH_BYTES)
    throw damaged(`expected at least ${LENGTH_BYTES} bytes, got ${bytes.length}`);
  const claimed = new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true);
  if (claimed > BigInt(MAX_HEADER_BYTES))
    throw damaged(`it is no session, or its header claims ${claimed} bytes, more than ${MAX_HEADER_BYTES}`);
  const dataStart = LENGTH_BYTES + Number(claimed);
  if (dataStart > bytes.length) throw damaged(`its header claims ${claimed} bytes, it has ${bytes.length}`);
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(
      bytes.subarray(LENGTH_BYTES, dataStart),
    );
    return { text, dataStart };
  } catch (cause) {
    throw damaged("its header is not valid UTF-8", cause);
  }
}

function parseHeader(text: string): Readonly<Record<string, unknown>> {
  const excess = findExcess(text, HEADER_LIMITS);
  if (excess !== undefined) throw damaged(`of its header: ${excess}`);
  let header: unknown;
  try {
    header = JSON.parse(text);
  } catch (cause) {
    throw damaged("its header is no JSON", cause);
  }
  if (!isObject(header)) throw damaged(`its header is ${printValue(header)}`);
  return header;
}

function readMetadata(metadata: unknown): Readonly<Record<string, string>> {
  if (!isObject(metadata) || !Object.values(metadata).every((value) => typeof value === "string"))
    throw damaged("it has no metadata");
  if (metadata.format !== FORMAT)
    throw damaged(
      `expected a file that saveSession wrote, of the format ${FORMAT}, got ${printValue(metadata.format)}`,
    );
  if (metadata.version !== VERSION)
    throw new SessionError(
      `loading a session: it has version ${printValue(metadata.version)} of the format, this package reads version ${VERSION}; ` +
        "load it with the version of lessismore that wrote it, or go on from the conversation's text",
      { reason: "version" },
    );
  return metadata as Readonly<Record<string, string>>;
}

function checkFits(metadata: Readonly<Record<string, string>>, own: SessionReader["facts"]): void {
  if (metadata.model !== own.model)
    throw new SessionError(
      `loading a session: it is of the model ${printValue(metadata.model_name)} (${printValue(metadata.model)}), this engine runs ` +
        `${own.modelName} (${own.model}), in other weights or another precision; open the engine with that model, or go on from ` +
        "the conversation's text",
      { reason: "model" },
    );
  const is = `cacheDtype ${own.cacheDtype} and pages of ${own.pageSize} tokens`;
  if (metadata.cache_dtype !== own.cacheDtype || metadata.page_size !== String(own.pageSize))
    throw new SessionError(
      `loading a session: it has cacheDtype ${printValue(metadata.cache_dtype)} and pages of ${printValue(metadata.page_size)} tokens, ` +
        `this engine ${is}; open the engine with the same cacheDtype and pageSize, or go on from the conversation's text`,
      { reason: "cache" },
    );
}

function readFacts(metadata: Readonly<Record<string, string>>, numRopes: number): SessionFacts {
  const {
    model = "",
    model_name: modelName = "",
    cache_dtype: dtype,
    page_size: pageSize,
    backend = "",
  } = metadata;
  const { dense_tokens: dense = "", decoded_under: decodedUnder, gate, checksum = "" } = metadata;
  const facts = {
    ...{ model, modelName, cacheDtype: dtype as CacheDtype, pageSize: Number(pageSize), backend },
    ...{ ropeRanges: readRanges(metadata.rope, numRopes), denseTokens: Number(dense), decodedUnder, gate },
  };
  // one spelling of each value, and no other keys
  if (!/^\d{1,10}$/.test(dense) || JSON.stringify(metadataOf(facts, checksum)) !== JSON.stringify(metadata))
    throw damaged("its metadata are not as saveSession writes them");
  return facts;
}

function readRanges(text: string | undefined, numRopes: number): readonly string[] {
  try {
    const ranges: unknown = JSON.parse(text ?? "");
    if (
      Array.isArray(ranges) &&
      ranges.length === numRopes &&
      ranges.every((range) => typeof range === "string")
    )
      return ranges;
  } catch {
    // said below
  }
  throw damaged(`expected the ranges of ${numRopes} RoPE tables, got ${printValue(text)}`);
}

function shapeOf(entry: unknown): readonly unknown[] {
  return isObject(entry) && Array.isArray(entry.shape) ? entry.shape : [];
}

function readNumTokens(entry: unknown, { sizes, maxTokens }: SessionReader): number {
  const [numTokens] = shapeOf(entry);
  if (
    !(
      typeof numTokens === "number" &&
      Number.isSafeInteger(numTokens) &&
      numTokens > 0 &&
      numTokens % sizes.pageSize === 0
    )
  )
    throw damaged(
      `expected a number of tokens that fills pages of ${sizes.pageSize}, got ${printValue(numTokens)}`,
    );
  if (numTokens > maxTokens)
    throw new SessionError(
      `loading a session: it has ${numTokens} tokens, the context holds ${maxTokens}; open the engine with a larger contextLength`,
      { reason: "cache" },
    );
  return numTokens;
}

/** Limit on the sizes of a gate, so that a claimed length stays a whole number. */
const MAX_GATE_SIZE = 1 << 16;

function readGateSizes(entry: unknown): NonNullable<SessionSizes["gate"]> {
  const [numLayers, , , gateDim] = shapeOf(entry);
  const isSize = (size: unknown): size is number =>
    typeof size === "number" && Number.isSafeInteger(size) && size > 0 && size <= MAX_GATE_SIZE;
  if (!isSize(numLayers) || !isSize(gateDim)) throw damaged("the sizes of its gate are impossible");
  return { numLayers, gateDim };
}
