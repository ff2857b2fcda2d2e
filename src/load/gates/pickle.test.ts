/** The interpreter runs what torch.save writes for a dict of tensors, and nothing else. */
import { describe, expect, test } from "vitest";
import { PickleError, unpickleTensors } from "./pickle.ts";

const text = (value: string) => [0x58, ...uint32(value.length), ...Buffer.from(value)]; // BINUNICODE
const uint32 = (n: number) => [n & 255, (n >> 8) & 255, (n >> 16) & 255, (n >>> 24) & 255];
const global = (module: string, name: string) => [0x63, ...Buffer.from(`${module}\n${name}\n`)];
const [MARK, STOP, TUPLE, REDUCE, EMPTY_DICT, SETITEM, PERSID] = [0x28, 0x2e, 0x74, 0x52, 0x7d, 0x73, 0x51];
const int = (n: number) => [0x4a, ...uint32(n)];
const storage = (type: string, size: number, key = "0") => [
  ...[MARK, ...text("storage"), ...global("torch", type), ...text(key), ...text("cpu"), ...int(size)],
  ...[TUPLE, PERSID],
];
/** A tensor [2, 3] at element 1 of a storage. */
const tensor = (size: number, strides = [3, 1], type = "FloatStorage", key = "0") => [
  ...global("torch._utils", "_rebuild_tensor_v2"),
  ...[
    MARK,
    ...storage(type, size, key),
    ...int(1),
    ...int(2),
    ...int(3),
    0x86,
    ...strides.flatMap(int),
    0x86,
  ],
  ...[0x89, ...global("collections", "OrderedDict"), 0x29, REDUCE, TUPLE, REDUCE],
];
const dictOf = (value: readonly number[]) => [0x80, 2, EMPTY_DICT, ...text("w"), ...value, SETITEM, STOP];
const run = (bytes: readonly number[]) => unpickleTensors(Uint8Array.from(bytes));

test("a dict of a tensor gives its storage, type, place and shape", () => {
  expect([...run(dictOf(tensor(7, [3, 1], "BFloat16Storage", "12")))]).toEqual([
    ["w", { storage: "12", storageType: "BFloat16Storage", offset: 1, shape: [2, 3] }],
  ]);
});

describe("what it refuses", () => {
  test.each<[string, readonly number[], RegExp]>([
    [
      "a call of the system",
      [0x80, 2, ...global("os", "system"), ...text("id"), 0x85, REDUCE, STOP],
      /"os\.system"/,
    ],
    ["builtins", [...global("builtins", "eval"), STOP], /builtins\.eval/],
    [
      "a name assembled from texts",
      [0x80, 4, ...text("posix"), ...text("system"), 0x93, STOP],
      /posix\.system/,
    ],
    [
      "a name of a module's module",
      [...text("torch"), ...text("_utils._rebuild_tensor_v2"), 0x93, STOP],
      /holds no dict/,
    ],
    [
      "an object that is made (NEWOBJ)",
      [...global("collections", "OrderedDict"), 0x29, 0x81, STOP],
      /opcode 0x81/,
    ],
    ["an instance by INST", [MARK, 0x69, ...Buffer.from("os\nsystem\n"), STOP], /opcode 0x69/],
    ["an extension code", [0x82, 1, STOP], /opcode 0x82/],
    ["a text form of a number", [0x49, ...Buffer.from("1\n"), STOP], /opcode 0x49/],
    [
      "a call of a dict with items",
      [...global("collections", "OrderedDict"), EMPTY_DICT, 0x85, REDUCE, STOP],
      /other values/,
    ],
    ["a storage of integers", dictOf(tensor(7, [3, 1], "LongStorage")), /torch\.LongStorage/],
    ["a storage outside its folder", dictOf(tensor(7, [3, 1], "FloatStorage", "../0")), /impossible name/],
    ["a tensor past its storage", dictOf(tensor(6)), /6 elements in a storage of 6/],
    ["a transposed tensor", dictOf(tensor(7, [1, 2])), /not contiguous/],
    ["a value that is no tensor", dictOf(int(3)), /entry "w" is no tensor/],
    ["a list in place of the dict", [0x5d, STOP], /holds no dict/],
    ["an attribute of a tensor", [...tensor(7), EMPTY_DICT, 0x62, STOP], /no dict/],
    ["an end in the middle of a text", [0x58, ...uint32(100), 65], /ends in the middle/],
    ["no end", [0x80, 2, EMPTY_DICT], /ends in the middle/],
    ["nothing", [], /ends in the middle/],
    ["a value that is not there", [0x85, STOP], /not there/],
    ["a value below a mark", [EMPTY_DICT, MARK, ...text("a"), SETITEM, STOP], /not there/],
    ["a mark that is not there", [TUPLE, STOP], /without a mark/],
    ["an odd number of items", [EMPTY_DICT, MARK, ...text("a"), 0x75, STOP], /no dict/],
    ["a recall of nothing", [0x68, 3, STOP], /recalls/],
    ["a number of 200 bytes", [0x8a, 200, ...Array<number>(200).fill(1), STOP], /too large/],
    ["endless marks", Array<number>(150_000).fill(MARK), /nests or lists too much/],
  ])("%s", (_, bytes, message) => {
    expect(() => run(bytes)).toThrow(PickleError);
    expect(() => run(bytes)).toThrow(message);
  });

  test("two million steps that lead nowhere, within a second", () => {
    const bytes = new Uint8Array(4_000_010).fill(0x71); // BINPUT 0x71
    bytes.set([EMPTY_DICT]);
    bytes.fill(0, 1);
    for (let i = 1; i + 1 < bytes.length; i += 2) bytes[i] = 0x71;
    const startedAt = performance.now();
    expect(() => unpickleTensors(bytes)).toThrow(/more than 2000000 steps/);
    expect(performance.now() - startedAt).toBeLessThan(5000);
  });
});
