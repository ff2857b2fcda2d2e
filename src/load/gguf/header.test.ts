import { describe, expect, test } from "vitest";
import {
  field,
  type GgufFileContents,
  ggufFile,
  joinBytes,
  textBytes,
  u32Bytes,
} from "../../../test/golden/gguf-file.ts";
import { memorySource } from "../../../test/golden/memory-folder.ts";
import type { ByteSource } from "../byte-source.ts";
import { readGgufHeader } from "./header.ts";

const f32 = (count: number) => new Uint8Array(count * 4);
const read = (contents: GgufFileContents) => readGgufHeader(memorySource(ggufFile(contents), "m.gguf"));
const readBytes = (bytes: Uint8Array) => readGgufHeader(memorySource(bytes, "m.gguf"));

describe("a whole file", () => {
  test.each([2, 3])("of version %i gives its metadata and tensors", async (version) => {
    const header = await read({
      version,
      metadata: [
        ["a.u8", field.u8(200)],
        ["a.i8", field.i8(0xff)],
        ["a.u16", field.u16(65_535)],
        ["a.i16", field.i16(-2)],
        ["a.u32", field.u32(4_000_000_000)],
        ["a.i32", field.i32(-5)],
        ["a.f32", field.f32(0.5)],
        ["a.bool", field.bool(true)],
        ["a.text", field.text("Grüße ▁😀")],
        ["a.u64", field.u64(2 ** 40)],
        ["a.huge", field.u64(2n ** 64n - 1n)],
        ["a.i64", field.i64(-7)],
        ["a.f64", field.f64(Math.PI)],
        ["a.i32s", field.list(5, [field.i32(1), field.i32(-1)])],
        ["a.f32s", field.list(6, [field.f32(1.5)])],
        ["a.u64s", field.list(10, [field.u64(2n ** 63n)])],
        ["a.bools", field.list(7, [field.bool(true), field.bool(false)])],
        ["a.none", field.texts([])],
        ["a.nested", field.list(9, [field.texts(["x", "y"]), field.list(4, [field.u32(3)])])],
      ],
      tensors: [
        { name: "m", type: 0, sizes: [3, 2], data: f32(6) },
        { name: "q", type: 8, sizes: [32, 2, 4], data: new Uint8Array(34 * 8) },
      ],
    });
    expect(header.version).toBe(version);
    expect(Object.fromEntries(header.metadata)).toEqual({
      "a.u8": 200,
      "a.i8": -1,
      "a.u16": 65_535,
      "a.i16": -2,
      "a.u32": 4_000_000_000,
      "a.i32": -5,
      "a.f32": 0.5,
      "a.bool": true,
      "a.text": "Grüße ▁😀",
      "a.u64": 2 ** 40,
      "a.huge": 2n ** 64n - 1n,
      "a.i64": -7,
      "a.f64": Math.PI,
      "a.i32s": Int32Array.of(1, -1),
      "a.f32s": Float32Array.of(1.5),
      "a.u64s": BigUint64Array.of(2n ** 63n),
      "a.bools": [true, false],
      "a.none": [],
      "a.nested": [["x", "y"], Uint32Array.of(3)],
    });
    expect(header.tensors.map(({ name, shape, sizeBytes }) => [name, shape, sizeBytes])).toEqual([
      ["m", [2, 3], 24],
      ["q", [4, 2, 32], 272],
    ]);
    const [first, second] = header.tensors;
    expect((first?.offset ?? 0) % 32).toBe(0);
    expect((second?.offset ?? 0) - (first?.offset ?? 0)).toBe(32);
    expect(second?.type).toMatchObject({ name: "Q8_0", format: "q8_0" });
  });

  test("may align its tensors otherwise", async () => {
    const metadata = [["general.alignment", field.u32(128)]] as const;
    const { tensors } = await read({
      alignment: 128,
      metadata,
      tensors: [{ name: "a", type: 0, sizes: [1], data: f32(1) }],
    });
    expect(tensors[0]?.offset).toBe(128);
  });

  test("keeps each of 14,000 texts, of one to four bytes a character, across the reads", async () => {
    const texts = Array.from(
      { length: 14_000 },
      (_, i) => `${i}${[..."aé▁😀"].slice(0, i % 5).join("")}${"x".repeat(i % 700)}`,
    );
    const sizes: number[] = [];
    const bytes = ggufFile({
      metadata: [
        ["t", field.texts(texts)],
        ["after", field.text("end")],
      ],
    });
    const source: ByteSource = {
      ...memorySource(bytes, "m.gguf"),
      read: async (offset, length) => {
        sizes.push(length);
        return bytes.slice(offset, offset + length);
      },
    };
    const { metadata } = await readGgufHeader(source);
    const got = metadata.get("t");
    expect(texts.findIndex((text, i) => !Array.isArray(got) || got[i] !== text)).toBe(-1);
    expect(got).toHaveLength(texts.length);
    expect(metadata.get("after")).toBe("end");
    expect(sizes.length).toBeGreaterThan(1); // so that a text lies across two reads
    expect(sizes.length).toBeLessThan(6);
  });

  test("may have texts that are characters only together, and keeps them apart", async () => {
    const halves = [0xc3, 0xa9].map((byte) => ({ type: 8, bytes: textBytes(Uint8Array.of(byte)) }));
    const { metadata } = await read({ metadata: [["t", field.list(8, halves)]] });
    expect(metadata.get("t")).toEqual(["\ufffd", "\ufffd"]);
  });

  test("may have texts that are not UTF-8, as U+FFFD, and the texts beside them stay", async () => {
    const list = field.list(8, [
      { type: 8, bytes: textBytes(Uint8Array.of(0x61, 0xff)) },
      field.text("é"),
      { type: 8, bytes: textBytes(Uint8Array.of(0xc3)) },
      { type: 8, bytes: textBytes(Uint8Array.of(0xa9)) },
    ]);
    const { metadata } = await read({ metadata: [["t", list]] });
    expect(metadata.get("t")).toEqual(["a\ufffd", "é", "\ufffd", "\ufffd"]);
  });
});

const one = { name: "a", type: 0, sizes: [4], data: f32(4) };

test.each<[string, GgufFileContents, string | RegExp]>([
  ["of another version", { version: 1 }, "it is GGUF of version 1"],
  ["of a later version", { version: 4 }, "version 4"],
  ["big-endian", { version: 0x03000000 }, "big-endian"],
  ["of another format", { magic: "GGML", metadata: [["a", field.u8(1)]] }, "no GGUF file"],
  ["that claims 2^63 tensors", { numTensors: 2n ** 63n }, "claims 9223372036854775808 tensors"],
  ["that claims 2^60 keys", { numKeys: 2n ** 60n }, "claims 1152921504606846976 keys"],
  ["with fewer keys than it claims", { numKeys: 40 }, "the file has"],
  [
    "with a key twice",
    {
      metadata: [
        ["a", field.u8(1)],
        ["a", field.u8(2)],
      ],
    },
    'the key "a" twice',
  ],
  [
    "with an unknown type of value",
    { metadata: [["a", { type: 13, bytes: u32Bytes(0) }]] },
    "unknown type 13",
  ],
  [
    "with an array of an unknown type",
    { metadata: [["a", field.list(77, [])]] },
    "array of the unknown type 77",
  ],
  [
    "with an array longer than the file",
    { metadata: [["a", field.list(4, [], 2n ** 61n)]] },
    "claims 2305843009213693952 elements",
  ],
  [
    "with texts longer than the file",
    { metadata: [["a", field.list(8, [], 2n ** 61n)]] },
    "claims 2305843009213693952 elements",
  ],
  [
    "with a text of 2^64 - 1 bytes",
    { metadata: [["a", { type: 8, bytes: new Uint8Array(8).fill(255) }]] },
    "has 18446744073709551615 bytes",
  ],
  [
    "with a text that is cut off",
    { metadata: [["a", { type: 8, bytes: joinBytes(u32Bytes(9000), u32Bytes(0)) }]] },
    "takes 9000 bytes",
  ],
  ["with arrays in arrays in arrays", { metadata: [["a", nested(40)]] }, "nests arrays deeper than 4"],
  [
    "with an alignment that is no power of two",
    { metadata: [["general.alignment", field.u32(48)]] },
    "general.alignment is 48",
  ],
  [
    "with an alignment of zero",
    { metadata: [["general.alignment", field.u32(0)]] },
    "general.alignment is 0",
  ],
  [
    "with a text for an alignment",
    { metadata: [["general.alignment", field.text("32")]] },
    'general.alignment is "32"',
  ],
  ["with two tensors of one name", { tensors: [one, one] }, 'two tensors have the name "a"'],
  ["with a tensor of no dimensions", { tensors: [{ ...one, sizes: [] }] }, "has 0 dimensions"],
  ["with a tensor of 5 dimensions", { tensors: [{ ...one, sizes: [1, 1, 1, 1, 4] }] }, "has 5 dimensions"],
  [
    "with 4 billion dimensions",
    { tensors: [{ ...one, numDimensions: 0xffffffff }] },
    "has 4294967295 dimensions",
  ],
  ["with an empty tensor", { tensors: [{ ...one, sizes: [0, 4] }] }, "impossible shape [0,4]"],
  [
    "with sizes whose product overflows",
    { tensors: [{ ...one, sizes: [2n ** 32n, 2n ** 32n] }] },
    "impossible shape",
  ],
  ["with a tensor of an unknown type", { tensors: [{ ...one, type: 999 }] }, /unknown type 999.*Q4_K/],
  ["with a tensor of a removed type", { tensors: [{ ...one, type: 4 }] }, "unknown type 4"],
  [
    "with rows of part of a block",
    { tensors: [{ ...one, type: 8, sizes: [16, 2], data: f32(9) }] },
    "not whole blocks of 32",
  ],
  ["with a tensor past the end", { tensors: [{ ...one, offset: 32 }] }, "takes 16 bytes from 32"],
  ["with a tensor at 2^63", { tensors: [{ ...one, offset: 2n ** 63n }] }, "from 9223372036854775808"],
  ["with a tensor off its alignment", { tensors: [{ ...one, offset: 4 }] }, "no multiple of 32"],
  [
    "with tensors that overlap",
    {
      tensors: [
        { ...one, data: f32(16), sizes: [16] },
        { ...one, name: "b", offset: 32 },
      ],
    },
    /"a" and "b" overlap/,
  ],
])("a file %s is refused", async (_, contents, message) => {
  const reading = read(contents);
  await expect(reading).rejects.toThrow(message);
  await expect(reading).rejects.toMatchObject({
    code: "model-file",
    message: expect.stringContaining("m.gguf"),
  });
});

test.each([
  ["short texts", 4 << 20, field.texts(["ab"]).bytes.slice(12), 8],
  ["arrays within an array", 300_000, u32Bytes(4), 9],
])("a file with more %s than any model's is refused before they are kept", async (_, count, one, type) => {
  const element = type === 9 ? joinBytes(one, new Uint8Array(8)) : one;
  const elements = new Uint8Array(element.length * (count + 1));
  for (let at = 0; at < elements.length; at += element.length) elements.set(element, at);
  const reading = read({ metadata: [["a", field.list(type, [{ type, bytes: elements }], count + 1)]] });
  await expect(reading).rejects.toThrow("its arrays have more than 4194304 values");
});

function nested(depth: number): ReturnType<typeof field.u8> {
  return depth === 0 ? field.list(4, []) : field.list(9, [nested(depth - 1)]);
}

test("a file is refused at every length at which it is cut", async () => {
  const whole = ggufFile({
    metadata: [
      ["t", field.texts(["a", "bc"])],
      ["n", field.list(6, [field.f32(1)])],
    ],
    tensors: [one, { ...one, name: "b" }],
  });
  const end = whole.length - 16; // the last tensor's padding may be missing
  for (let length = 0; length < end; length++)
    await expect(readBytes(whole.slice(0, length)), `${length} bytes`).rejects.toMatchObject({
      code: "model-file",
    });
  await readBytes(whole.slice(0, end));
});

test("a header asks for no more memory than the file has bytes, whatever it claims", async () => {
  const bytes = ggufFile({ metadata: [["a", field.list(12, [], 1 << 20)]] });
  const lengths: number[] = [];
  const source: ByteSource = {
    ...memorySource(bytes, "m.gguf"),
    read: async (offset, length) => {
      lengths.push(length);
      return bytes.slice(offset, offset + length);
    },
  };
  await expect(readGgufHeader(source)).rejects.toThrow("claims 1048576 elements");
  expect(Math.max(...lengths)).toBeLessThanOrEqual(bytes.length);
});

test("a web page in place of the file is named", async () => {
  const page = new TextEncoder().encode("<!doctype html><html><head><title>Sign in</title></head></html>");
  await expect(readBytes(page)).rejects.toThrow("a web page, not the file");
});
