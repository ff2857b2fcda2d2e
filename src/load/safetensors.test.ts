import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { memorySource, safetensorsFile } from "../../test/golden/memory-folder.ts";
import { ModelFileError } from "../base/errors.ts";
import { readSafetensors } from "./safetensors.ts";

const HEADER = {
  __metadata__: { format: "pt" },
  "a.weight": { dtype: "BF16", shape: [2, 3], data_offsets: [0, 12] },
  scalar: { dtype: "F32", shape: [], data_offsets: [12, 16] },
  empty: { dtype: "F16", shape: [0, 4], data_offsets: [16, 16] },
  ids: { dtype: "I64", shape: [1], data_offsets: [16, 24] },
};
const FILE = safetensorsFile(HEADER, 24);
const headerEnd = FILE.length - 24;

const read = (file: Uint8Array) => readSafetensors(memorySource(file, "w.safetensors"));

/** Reads a file and returns a summary, or "refused" for a ModelFileError; other errors fail the test. */
async function outcome(file: Uint8Array): Promise<string> {
  try {
    const entries = await read(file);
    return JSON.stringify(entries.map(({ source, ...entry }) => entry));
  } catch (error) {
    if (!(error instanceof ModelFileError)) throw error;
    expect(error.message).toContain("w.safetensors");
    return "refused";
  }
}

test("a header is read to names, dtypes, shapes and offsets in the file", async () => {
  const entries = await read(FILE);
  expect(
    entries.map(({ name, fileDtype, format, shape, offset, sizeBytes }) => [
      name,
      fileDtype,
      format,
      shape,
      offset - headerEnd,
      sizeBytes,
    ]),
  ).toEqual([
    ["a.weight", "BF16", "bf16", [2, 3], 0, 12],
    ["scalar", "F32", "f32", [], 12, 4],
    ["empty", "F16", "f16", [0, 4], 16, 0],
    ["ids", "I64", undefined, [1], 16, 8],
  ]);
});

const tensor = (dtype: unknown, shape: unknown, offsets: unknown) => ({
  t: { dtype, shape, data_offsets: offsets },
});
const huge = (() => {
  const file = FILE.slice();
  new DataView(file.buffer).setBigUint64(0, 2n ** 63n, true);
  return file;
})();
test.each<[string, Uint8Array, string]>([
  ["a length above the limit", huge, "9223372036854775808 bytes, more than the format's limit of 100000000"],
  [
    "a header longer than the file",
    safetensorsFile("{}", 0).fill(9, 0, 1),
    "claims 9 bytes, the file has 10",
  ],
  ["no JSON", safetensorsFile("{nope", 0), "not valid JSON"],
  ["a list", safetensorsFile([], 0), 'does not start with "{"'],
  ["a byte-order mark", safetensorsFile("\ufeff{}", 0), 'does not start with "{"'],
  ["no UTF-8", safetensorsFile("{}", 0).fill(0xff, 9, 10), "not valid UTF-8"],
  ["a tensor of null", safetensorsFile({ t: null }, 0), '"t" has no description'],
  [
    "an unknown dtype",
    safetensorsFile(tensor("Q4", [1], [0, 4]), 4),
    'tensor "t" has the unknown dtype "Q4"',
  ],
  [
    "a dtype of the prototype",
    safetensorsFile(tensor("toString", [1], [0, 4]), 4),
    'unknown dtype "toString"',
  ],
  ["a negative size", safetensorsFile(tensor("F32", [-1], [0, 4]), 4), "impossible shape [-1]"],
  ["a fractional size", safetensorsFile(tensor("F32", [0.5], [0, 2]), 2), "impossible shape [0.5]"],
  ["a size past 2^53", safetensorsFile(tensor("F32", [2 ** 60], [0, 4]), 4), "impossible shape"],
  [
    "sizes whose product overflows",
    safetensorsFile(tensor("F32", Array(40).fill(2 ** 52), [0, 4]), 4),
    "takes Infinity bytes",
  ],
  ["a shape of a text", safetensorsFile(tensor("F32", "1", [0, 4]), 4), 'impossible shape "1"'],
  ["one offset", safetensorsFile(tensor("F32", [1], [0]), 4), "impossible data_offsets [0]"],
  ["offsets backwards", safetensorsFile(tensor("F32", [1], [4, 0]), 4), "data_offsets 4 to 0"],
  [
    "offsets past the end",
    safetensorsFile(tensor("F32", [2], [0, 8]), 4),
    "data_offsets 0 to 8, but the file holds 4",
  ],
  [
    "fewer bytes than the shape",
    safetensorsFile(tensor("F32", [2], [0, 4]), 4),
    "takes 8 bytes, its data_offsets hold 4",
  ],
  [
    "a hole",
    safetensorsFile({ a: { dtype: "U8", shape: [1], data_offsets: [1, 2] } }, 2),
    "1 bytes before tensor",
  ],
  ["bytes at the end", safetensorsFile(tensor("U8", [1], [0, 1]), 3), "2 bytes at its end"],
  ["metadata of numbers", safetensorsFile({ __metadata__: { a: 1 } }, 0), "__metadata__"],
  [
    "an overlap",
    safetensorsFile(
      {
        a: { dtype: "U8", shape: [2], data_offsets: [0, 2] },
        b: { dtype: "U8", shape: [2], data_offsets: [1, 3] },
      },
      3,
    ),
    'tensors "a" and "b" overlap',
  ],
  [
    "a name twice",
    safetensorsFile(
      '{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"\\u0061":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}',
      1,
    ),
    'the key "a" twice',
  ],
  [
    "a key twice in a tensor",
    safetensorsFile('{"a":{"dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1]}}', 1),
    '"dtype" twice',
  ],
])("%s: a ModelFileError with name and value", async (_, file, message) => {
  await expect(read(file)).rejects.toThrow(ModelFileError);
  await expect(read(file)).rejects.toThrow(message);
});

test("equal keys in different objects and braces and quotes in names are valid", async () => {
  const name = '}{"dtype": \\ "';
  const entries = await read(
    safetensorsFile(
      {
        [name]: { dtype: "U8", shape: [1], data_offsets: [0, 1] },
        dtype: { dtype: "U8", shape: [1], data_offsets: [1, 2] },
      },
      2,
    ),
  );
  expect(entries.map((entry) => entry.name)).toEqual([name, "dtype"]);
});

describe("hostile files", () => {
  test("a file truncated to any length is refused", async () => {
    for (let length = 0; length < FILE.length; length++)
      expect(await outcome(FILE.slice(0, length)), `${length} bytes`).toBe("refused");
  });

  test("a file with one header byte changed yields tensors inside the file or a ModelFileError", async () => {
    for (let at = 0; at < headerEnd; at++)
      for (const value of [
        0,
        0x20,
        0x22,
        0x2c,
        0x30,
        0x39,
        0x5b,
        0x5d,
        0x7b,
        0x7d,
        0x7f,
        0xff,
        FILE[at] ^ 1,
      ]) {
        const file = FILE.slice();
        file[at] = value;
        const result = await outcome(file);
        if (result === "refused") continue;
        for (const { offset, sizeBytes } of JSON.parse(result))
          expect(offset + sizeBytes).toBeLessThanOrEqual(file.length);
      }
  });

  test("random bytes and random JSON cause no error but a ModelFileError", async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), async (bytes) => void (await outcome(bytes))),
    );
    await fc.assert(
      fc.asyncProperty(
        fc.jsonValue(),
        fc.nat(64),
        async (json, size) => void (await outcome(safetensorsFile(json, size))),
      ),
    );
    const description = fc.record(
      {
        dtype: fc.constantFrom("F32", "U8", "BF16", "x"),
        shape: fc.array(fc.integer({ min: -1, max: 4 }), { maxLength: 3 }),
        data_offsets: fc.array(fc.integer({ min: -1, max: 20 }), { maxLength: 3 }),
      },
      { requiredKeys: [] },
    );
    await fc.assert(
      fc.asyncProperty(
        fc.dictionary(fc.string(), description),
        fc.nat(20),
        async (header, size) => void (await outcome(safetensorsFile(header, size))),
      ),
    );
  });

  test("the length of a header is checked before the header is read", async () => {
    const source = memorySource(huge, "w.safetensors");
    await expect(readSafetensors(source)).rejects.toThrow(ModelFileError);
    expect(source.reads).toEqual([[0, 8]]);
  });
});
