import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, test } from "vitest";
import { ModelFileError } from "../../src/node/index.ts";
import { Random } from "../problems/random.ts";
import { readRecords } from "./read-records.ts";

const golden = (name: string) =>
  fileURLToPath(new URL(`../../test/golden/eval-data/${name}`, import.meta.url));
const rows: Record<"aime" | "math" | "gpqa", Record<string, unknown>[]> = JSON.parse(
  readFileSync(golden("rows.json"), "utf8"),
);
const folder = mkdtempSync(join(tmpdir(), "lessismore-data-"));
afterAll(() => rmSync(folder, { recursive: true }));

function write(name: string, content: string | Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}
const fieldsOf = async (path: string) => (await readRecords(path)).map(({ fields }) => fields);

describe("rows are the same from", () => {
  test.each([
    "none",
    "snappy",
    "gzip",
    "zstd",
    "brotli",
    "lz4",
  ])("Parquet packed with %s by pyarrow", async (packed) => {
    expect(await fieldsOf(golden(`math-${packed}.parquet`))).toEqual(rows.math);
  });

  test("Parquet with pages of version 2, large strings and columns that nobody asks for", async () => {
    const found = await fieldsOf(golden("aime-v2.parquet"));
    expect(found.map(({ ID, Problem, Answer }) => ({ ID, Problem, Answer }))).toEqual(
      rows.aime.map(({ ID, Problem, Answer }) => ({ ID, Problem, Answer })),
    );
  });

  test("CSV with quotes, commas and line breaks in its cells, written by Python's csv", async () => {
    expect(await fieldsOf(golden("gpqa_diamond.csv"))).toEqual(rows.gpqa);
  });

  test("JSON lines, with empty lines, CRLF and a byte order mark", async () => {
    const text = rows.math.map((row) => JSON.stringify(row)).join("\r\n\r\n");
    expect(await fieldsOf(write("math.jsonl", `\ufeff${text}\n`))).toEqual(rows.math);
  });

  test("a JSON array, and lines that are named .json", async () => {
    expect(await fieldsOf(write("math.json", JSON.stringify(rows.math)))).toEqual(rows.math);
    const lines = rows.math.map((row) => JSON.stringify(row)).join("\n");
    expect(await fieldsOf(write("lines.json", lines))).toEqual(rows.math);
  });

  test("Parquet under another name", async () => {
    const path = write("test.jsonl", readFileSync(golden("math-zstd.parquet")));
    expect(await fieldsOf(path)).toEqual(rows.math);
  });
});

describe("a file is refused with its place and the reason:", () => {
  const deep = `${'{"a":'.repeat(5000)}1${"}".repeat(5000)}`;
  test.each<[string, string | Uint8Array, RegExp]>([
    ["a.jsonl", '{"problem":"1"}\n{"problem":', /a\.jsonl: line 2 is no JSON/],
    ["b.jsonl", '{"problem":"1"}\n[1]', /line 2 is no object with fields, but an array/],
    ["c.jsonl", "null", /line 1 is no object with fields, but null/],
    ["d.jsonl", deep, /line 1 nests values more than 64 deep/],
    ["e.jsonl", "\n \n", /it has no rows/],
    ["f.jsonl", new Uint8Array([0x7b, 0xff, 0xfe, 0x7d]), /no text in UTF-8/],
    [
      "g.jsonl",
      "version https://git-lfs.github.com/spec/v1\noid sha256:1\n",
      /pointer of Git LFS: fetch the file/,
    ],
    ["h.jsonl", "<!DOCTYPE html><html>sign in</html>", /a page of HTML/],
    ["i.jsonl", new Uint8Array([0x1f, 0x8b, 8, 0]), /gzip.*: unpack it first/],
    ["j.json", '[{"problem":"1"},', /the array is no JSON/],
    ["k.json", "[]", /it has no rows/],
    ["l.txt", '{"problem":"1"}', /its name ends in "\.txt"; expected \.jsonl/],
    ["m.parquet", '{"problem":"1"}', /no Parquet file/],
    ["n.parquet", "PAR1", /damaged Parquet file/],
    ["o.csv", 'a,b\n1,"2', /damaged CSV: Quote Not Closed/],
    ["p.csv", "a,b\n1,2,3", /damaged CSV: Invalid Record Length/],
    ["q.csv", "a,a\n1,2", /two columns have the name "a"/],
  ])("%s", async (name, content, message) => {
    const reading = readRecords(write(name, content));
    await expect(reading).rejects.toThrow(ModelFileError);
    await expect(reading).rejects.toThrow(message);
  });

  test("one that is not there, and a folder", async () => {
    await expect(readRecords(join(folder, "none.jsonl"))).rejects.toThrow(ModelFileError);
    await expect(readRecords(folder)).rejects.toThrow(ModelFileError);
  });
});

test("400 damaged Parquet files end in rows or in a ModelFileError, each within a second", async () => {
  const random = new Random(7);
  for (const packed of ["none", "snappy", "gzip", "zstd", "brotli", "lz4"]) {
    const whole = readFileSync(golden(`math-${packed}.parquet`));
    for (let trial = 0; trial < 67; trial++) {
      const bytes = new Uint8Array(
        whole.subarray(0, trial % 5 === 0 ? random.range(4, whole.length) : whole.length),
      );
      // The footer decides what is read: half of the damage is there.
      const from = trial % 2 === 0 ? Math.max(0, bytes.length - 1400) : 4;
      for (let flips = random.integer(1, 4); flips > 0; flips--)
        bytes[random.range(from, bytes.length)] = random.range(0, 256);
      const start = performance.now();
      const outcome = await readRecords(write("damaged.parquet", bytes)).catch((error: unknown) => error);
      expect(performance.now() - start).toBeLessThan(1000);
      if (!Array.isArray(outcome)) expect(outcome).toBeInstanceOf(ModelFileError);
    }
  }
});
