import { describe, expect, test } from "vitest";
import { memoryFolder, memorySource, safetensorsFile } from "../../test/golden/memory-folder.ts";
import { ModelFileError } from "../base/errors.ts";
import { openCheckpoint } from "./checkpoint.ts";
import { parseJsonObject } from "./json-file.ts";
import { findDuplicateKey, findExcess, quoteNonFinite } from "./json-text.ts";
import { readSafetensors } from "./safetensors.ts";

/** Time limit for the longest texts of these tests; quadratic work would take minutes. */
const BRIEF_MS = 20_000;

const DEEP = 100_000;
const nested = `${'{"a":'.repeat(DEEP)}1${"}".repeat(DEEP)}`;

test("depth and number of values count only outside of strings", () => {
  const limits = { maxDepth: 3, maxValues: 5 };
  expect(findExcess('{"a":[[1]]}', limits)).toBeUndefined();
  expect(findExcess('{"a":[[[1]]]}', limits)).toContain("deeper than 3");
  expect(findExcess('["[[[[","\\"[[[[","{{{{\\\\"]', limits)).toBeUndefined();
  expect(findExcess("[1,2,3,4,5]", limits)).toBeUndefined();
  expect(findExcess("[1,2,3,4,5,6]", limits)).toContain("more than 5 values");
  expect(findExcess("[{},{},{}]", limits)).toContain("more than 5 values");
  expect(findExcess('"', limits)).toBeUndefined();
});

test("a duplicate key is found after unescaping, within one object only", () => {
  expect(findDuplicateKey('{"a":{"b":1},"b":{"a":["a","a"]}}')).toBeUndefined();
  expect(findDuplicateKey('{"a":1,"\\u0061" :2}')).toBe("a");
  expect(findDuplicateKey('{"x":{"__proto__":1,"__proto__":2}}')).toBe("__proto__");
  expect(findDuplicateKey('{"a\\\\":1,"a\\"":2}')).toBeUndefined();
});

test("checks take linear time: long strings, runs of backslashes, many keys", () => {
  const long = "x".repeat(30_000_000);
  const started = performance.now();
  expect(findDuplicateKey(`{"${long}":1,"${"\\\\".repeat(5_000_000)}":2}`)).toBeUndefined();
  expect(findExcess(`["${'\\"'.repeat(5_000_000)}"]`, { maxDepth: 2, maxValues: 3 })).toBeUndefined();
  const keys = Array.from({ length: 300_000 }, (_, i) => `"k${i}":{"dtype":"F32"}`).join(",");
  expect(findDuplicateKey(`{${keys}}`)).toBeUndefined();
  expect(performance.now() - started).toBeLessThan(BRIEF_MS);
});

test("NaN and infinities are quoted only outside of strings", () => {
  expect(quoteNonFinite('{"NaN":NaN,"a":[-Infinity,"-Infinity",Infinity],"b":-1}')).toBe(
    '{"NaN":"NaN","a":["-Infinity","-Infinity","Infinity"],"b":-1}',
  );
  expect(() => parseJsonObject('{"a":NaNa}', "f")).toThrow(ModelFileError);
  expect(() => parseJsonObject('{"a":-}', "f")).toThrow("not valid JSON");
});

const SINGLE = safetensorsFile({ a: { dtype: "F32", shape: [1], data_offsets: [0, 4] } }, 4);
const FILES = { "config.json": { model_type: "llama" }, "model.safetensors": SINGLE };

describe.each([
  "config.json",
  "generation_config.json",
  "tokenizer_config.json",
  "tokenizer.json",
  "model.safetensors.index.json",
])("%s", (place) => {
  test.each([
    ["objects", nested],
    ["lists", `{"x":${"[".repeat(DEEP)}${"]".repeat(DEEP)}}`],
    ["both, in values that are used", `{"weight_map":${nested},"model":${nested},"eos_token_id":${nested}}`],
    ["lists that never close", "[".repeat(DEEP)],
  ])("nested 100,000 deep in %s is a ModelFileError", async (_, text) => {
    const { "model.safetensors": single, ...rest } = FILES;
    const files = place.endsWith("index.json") ? rest : { ...rest, "model.safetensors": single };
    const opening = openCheckpoint(memoryFolder({ ...files, [place]: text }));
    await expect(opening).rejects.toThrow(ModelFileError);
    await expect(opening).rejects.toThrow("nested deeper than 128");
  });
});

describe("safetensors headers", () => {
  test.each<[string, string, string]>([
    ["nesting", `{"a":${nested}}`, "nested deeper"],
    ["nesting in metadata", `{"__metadata__":${nested}}`, "nested deeper"],
    ["90 MB of empty objects", `{"a":[${"{},".repeat(30_000_000)}{}]}`, "more than 4194304 values"],
    [
      "90 MB of empty descriptions",
      `{${Array.from({ length: 5_000_000 }, (_, i) => `"${i}":{}`).join(",")}}`,
      "more than 4194304 values",
    ],
    [
      "a shape of a million sizes",
      `{"a":{"dtype":"U8","shape":[${"1,".repeat(1_000_000)}1],"data_offsets":[0,0]}}`,
      "impossible shape",
    ],
    [
      "half a surrogate pair in a name",
      '{"a\\ud800":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}',
      "surrogate",
    ],
    [
      "a name of the prototype",
      '{"__proto__":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}',
      "1 to 1, but",
    ],
  ])("%s is a ModelFileError, at once", async (_, header, message) => {
    const started = performance.now();
    const source = memorySource(safetensorsFile(header, 0), "w.safetensors");
    const reading = readSafetensors(source);
    await expect(reading).rejects.toThrow(ModelFileError);
    if (!message.includes("but")) await expect(reading).rejects.toThrow(message);
    expect(performance.now() - started).toBeLessThan(BRIEF_MS);
  });

  test("names of Object.prototype's properties are valid tensor names", async () => {
    const header = ["__proto__", "constructor", "toString"].map(
      (name, i) => `"${name}":{"dtype":"U8","shape":[1],"data_offsets":[${i},${i + 1}]}`,
    );
    const entries = await readSafetensors(memorySource(safetensorsFile(`{${header}}`, 3)));
    expect(entries.map(({ name }) => name)).toEqual(["__proto__", "constructor", "toString"]);
  });
});

test("the size of a text file is limited by its name, before the file is read", async () => {
  const reads: unknown[] = [];
  const folder = memoryFolder(FILES);
  const opening = openCheckpoint({
    ...folder,
    open: async (path) =>
      path === "generation_config.json"
        ? {
            ...memorySource(new Uint8Array(1)),
            sizeBytes: 2 ** 40,
            read: async () => reads.push(path) as never,
          }
        : folder.open(path),
  });
  await expect(opening).rejects.toThrow("a text of at most 16777216 bytes, the file has 1099511627776");
  expect(reads).toEqual([]);
});
