import { printValue } from "../../base/print-value.ts";
import type { HeaderReader } from "./header-reader.ts";

/** A list of numbers of one type. 64-bit integers are bigints. */
export type GgufNumbers =
  | Uint8Array
  | Int8Array
  | Uint16Array
  | Int16Array
  | Uint32Array
  | Int32Array
  | Float32Array
  | Float64Array
  | BigUint64Array
  | BigInt64Array;

/** A value of GGUF's metadata. An integer past 2^53 is a bigint. */
export type GgufValue =
  | string
  | number
  | bigint
  | boolean
  | GgufNumbers
  | readonly string[]
  | readonly boolean[]
  | readonly GgufValue[];

export type GgufMetadata = ReadonlyMap<string, GgufValue>;

/** Limits far above all files in use: some 60 keys; 1.3 million values in all arrays together; no array in another. */
const MAX_KEYS = 1 << 16;
const MAX_KEY_BYTES = 65_535;
const MAX_ARRAY_VALUES = 1 << 22;
const MAX_DEPTH = 4;
/** Values that an array within an array counts for, by its size in memory. */
const NESTED_COST = 16;

/** Numbers of the value types. */
const BOOL = 7;
const STRING = 8;
const ARRAY = 9;

interface ScalarType {
  readonly bytes: number;
  readonly read: (reader: HeaderReader) => number | bigint | boolean;
  readonly list: (bytes: Uint8Array<ArrayBuffer>) => GgufNumbers | readonly boolean[];
}

const SCALARS: ReadonlyMap<number, ScalarType> = new Map<number, ScalarType>([
  [0, { bytes: 1, read: (from) => from.u8(), list: (bytes) => bytes }],
  [1, { bytes: 1, read: (from) => from.i8(), list: ({ buffer }) => new Int8Array(buffer) }],
  [2, { bytes: 2, read: (from) => from.u16(), list: ({ buffer }) => new Uint16Array(buffer) }],
  [3, { bytes: 2, read: (from) => from.i16(), list: ({ buffer }) => new Int16Array(buffer) }],
  [4, { bytes: 4, read: (from) => from.u32(), list: ({ buffer }) => new Uint32Array(buffer) }],
  [5, { bytes: 4, read: (from) => from.i32(), list: ({ buffer }) => new Int32Array(buffer) }],
  [6, { bytes: 4, read: (from) => from.f32(), list: ({ buffer }) => new Float32Array(buffer) }],
  [
    BOOL,
    { bytes: 1, read: (from) => from.u8() !== 0, list: (bytes) => Array.from(bytes, (byte) => byte !== 0) },
  ],
  [10, { bytes: 8, read: (from) => exact(from.u64()), list: ({ buffer }) => new BigUint64Array(buffer) }],
  [11, { bytes: 8, read: (from) => exact(from.i64()), list: ({ buffer }) => new BigInt64Array(buffer) }],
  [12, { bytes: 8, read: (from) => from.f64(), list: ({ buffer }) => new Float64Array(buffer) }],
]);

const exact = (value: bigint): number | bigint =>
  Number.isSafeInteger(Number(value)) ? Number(value) : value;

/** Reads all keys and values. */
export async function readMetadata(reader: HeaderReader, numKeys: bigint): Promise<GgufMetadata> {
  if (numKeys > BigInt(MAX_KEYS))
    throw reader.fail(`it claims ${numKeys} keys of metadata; expected at most ${MAX_KEYS}`);
  const metadata = new Map<string, GgufValue>();
  const budget = { values: MAX_ARRAY_VALUES };
  for (let i = 0; i < Number(numKeys); i++) {
    const key = await reader.text("a key of its metadata", MAX_KEY_BYTES);
    if (metadata.has(key)) throw reader.fail(`its metadata have the key ${printValue(key)} twice`);
    const what = `the value of ${printValue(key)}`;
    await reader.need(4, `the type of ${what}`);
    metadata.set(key, await readValue(reader, reader.u32(), { what, depth: 0, budget }));
  }
  return metadata;
}

interface Place {
  /** Names the value in messages. */
  readonly what: string;
  readonly depth: number;
  /** Values that all arrays of the file may still have. */
  readonly budget: { values: number };
}

async function readValue(reader: HeaderReader, type: number, place: Place): Promise<GgufValue> {
  const { what } = place;
  if (type === STRING) return reader.text(what);
  if (type === ARRAY) return readArray(reader, place);
  const scalar = SCALARS.get(type);
  if (!scalar) throw reader.fail(`${what} has the unknown type ${type}`);
  await reader.need(scalar.bytes, what);
  return scalar.read(reader);
}

async function readArray(reader: HeaderReader, { what, depth, budget }: Place): Promise<GgufValue> {
  if (depth === MAX_DEPTH) throw reader.fail(`${what} nests arrays deeper than ${MAX_DEPTH}`);
  await reader.need(12, `the length of ${what}`);
  const type = reader.u32();
  const claimed = reader.u64();
  const scalar = SCALARS.get(type);
  if (!scalar && type !== STRING && type !== ARRAY)
    throw reader.fail(`${what} is an array of the unknown type ${type}`);
  const leastBytes = scalar?.bytes ?? (type === STRING ? 8 : 12);
  if (claimed * BigInt(leastBytes) > BigInt(reader.remainingBytes))
    throw reader.fail(
      `${what} claims ${claimed} elements, but the file has ${reader.remainingBytes} more bytes`,
    );
  const count = Number(claimed);
  const cost = type === ARRAY ? NESTED_COST * count : count;
  if (cost > budget.values)
    throw reader.fail(`its arrays have more than ${MAX_ARRAY_VALUES} values, up to ${what} with ${count}`);
  budget.values -= cost;
  if (type === STRING) return reader.texts(count, what);
  if (scalar) {
    await reader.need(count * scalar.bytes, what);
    return scalar.list(reader.bytes(count * scalar.bytes));
  }
  const values: GgufValue[] = [];
  for (let i = 0; i < count; i++) values.push(await readArray(reader, { what, depth: depth + 1, budget }));
  return values;
}
