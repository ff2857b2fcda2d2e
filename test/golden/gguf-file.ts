/** Writes GGUF files for tests, damaged ones too: every count, type and offset can be given. */

/** A metadata value: the number of its type, and its bytes. */
export interface GgufField {
  readonly type: number;
  readonly bytes: Uint8Array;
}

export function joinBytes(...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

const scalar = (size: number, write: (view: DataView) => void): Uint8Array => {
  const view = new DataView(new ArrayBuffer(size));
  write(view);
  return new Uint8Array(view.buffer);
};

export const u32Bytes = (value: number) => scalar(4, (view) => view.setUint32(0, value, true));
export const u64Bytes = (value: number | bigint) =>
  scalar(8, (view) => view.setBigUint64(0, BigInt.asUintN(64, BigInt(value)), true));

export function textBytes(text: string | Uint8Array): Uint8Array {
  const bytes = typeof text === "string" ? new TextEncoder().encode(text) : text;
  return joinBytes(u64Bytes(bytes.length), bytes);
}

export const field = {
  u8: (value: number): GgufField => ({ type: 0, bytes: Uint8Array.of(value) }),
  i8: (value: number): GgufField => ({ type: 1, bytes: Uint8Array.of(value) }),
  u16: (value: number): GgufField => ({ type: 2, bytes: scalar(2, (view) => view.setUint16(0, value, true)) }),
  i16: (value: number): GgufField => ({ type: 3, bytes: scalar(2, (view) => view.setInt16(0, value, true)) }),
  u32: (value: number): GgufField => ({ type: 4, bytes: u32Bytes(value) }),
  i32: (value: number): GgufField => ({ type: 5, bytes: scalar(4, (view) => view.setInt32(0, value, true)) }),
  f32: (value: number): GgufField => ({ type: 6, bytes: scalar(4, (view) => view.setFloat32(0, value, true)) }),
  bool: (value: boolean): GgufField => ({ type: 7, bytes: Uint8Array.of(value ? 1 : 0) }),
  text: (value: string | Uint8Array): GgufField => ({ type: 8, bytes: textBytes(value) }),
  /** A list of fields of one type, arrays included. */
  list: (type: number, values: readonly GgufField[], count: number | bigint = values.length): GgufField => ({
    type: 9,
    bytes: joinBytes(u32Bytes(type), u64Bytes(count), ...values.map(({ bytes }) => bytes)),
  }),
  texts: (values: readonly string[]): GgufField => field.list(8, values.map(field.text)),
  u64: (value: number | bigint): GgufField => ({ type: 10, bytes: u64Bytes(value) }),
  i64: (value: number | bigint): GgufField => ({ type: 11, bytes: u64Bytes(value) }),
  f64: (value: number): GgufField => ({ type: 12, bytes: scalar(8, (view) => view.setFloat64(0, value, true)) }),
};

export interface GgufFileTensor {
  readonly name: string;
  /** The number of the type; 0 is F32. */
  readonly type: number;
  /** In the file's order: elements of a row first. */
  readonly sizes: readonly (number | bigint)[];
  readonly data: Uint8Array;
  /** From the start of the data; default: after the tensor before it, aligned. */
  readonly offset?: number | bigint;
  readonly numDimensions?: number;
}

export interface GgufFileContents {
  readonly magic?: string;
  readonly version?: number;
  readonly metadata?: readonly (readonly [string, GgufField])[];
  readonly tensors?: readonly GgufFileTensor[];
  readonly alignment?: number;
  readonly numKeys?: number | bigint;
  readonly numTensors?: number | bigint;
}

/** Writes a file. */
export function ggufFile(contents: GgufFileContents): Uint8Array<ArrayBuffer> {
  const { magic = "GGUF", version = 3, metadata = [], tensors = [], alignment = 32 } = contents;
  const padded = (bytes: Uint8Array) =>
    joinBytes(bytes, new Uint8Array((alignment - (bytes.length % alignment)) % alignment));
  let offset = 0;
  const infos = tensors.map((tensor) => {
    const own = tensor.offset ?? offset;
    offset += padded(tensor.data).length;
    return joinBytes(
      textBytes(tensor.name),
      u32Bytes(tensor.numDimensions ?? tensor.sizes.length),
      ...tensor.sizes.map(u64Bytes),
      u32Bytes(tensor.type),
      u64Bytes(own),
    );
  });
  const header = joinBytes(
    new TextEncoder().encode(magic),
    u32Bytes(version),
    u64Bytes(contents.numTensors ?? tensors.length),
    u64Bytes(contents.numKeys ?? metadata.length),
    ...metadata.flatMap(([key, { type, bytes }]) => [textBytes(key), u32Bytes(type), bytes]),
    ...infos,
  );
  return joinBytes(padded(header), ...tensors.map(({ data }) => padded(data)));
}
