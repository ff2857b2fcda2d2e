import { expect, test } from "vitest";
import type { WeightFormat } from "../base/weight-format.ts";
import type { WeightPlan } from "./weight-rows.ts";
import { precisionNotes, storedBytes, storedFormat, storedFormats } from "./weight-storage.ts";

type Plan = Pick<WeightPlan, "spec" | "use">;

const ALL: ReadonlySet<WeightFormat> = new Set([
  ...(["f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "q4_k", "q6_k"] as const),
]);

function matrix(format: WeightFormat, cols = 512, use?: "embedding" | "router"): Plan {
  return { spec: { kind: "matrix", name: "w", format, rows: 4, cols }, ...(use && { use }) };
}

const VECTOR: Plan = { spec: { kind: "vector", name: "n", format: "bf16", size: 512 } };

test.each<[string, Plan, "own" | "q8" | "q4", WeightFormat]>([
  ["16 bits stay", matrix("bf16"), "own", "bf16"],
  ["16 bits become q8", matrix("bf16"), "q8", "q8_0"],
  ["16 bits become q4", matrix("f16"), "q4", "q4_0"],
  ["the embedding takes q8 beside q4", matrix("bf16", 512, "embedding"), "q4", "q8_0"],
  ["a router stays", matrix("bf16", 512, "router"), "q4", "bf16"],
  ["vectors stay", VECTOR, "q4", "bf16"],
  ["rows of no whole blocks stay", matrix("bf16", 500), "q4", "bf16"],
  ["quantised weights stay", matrix("q4_k"), "q8", "q4_k"],
  ["8 bits become 4 where asked", matrix("q8_0"), "q4", "q4_0"],
  ["6 bits stay", matrix("q6_k"), "q4", "q6_k"],
  ["what the backend lacks is re-packed", matrix("q5_0"), "own", "q8_0"],
  ["at worst to f32", matrix("q5_k"), "own", "f32"],
])("%s", (_, plan, dtype, format) => {
  expect(storedFormat(plan, dtype, ALL)).toBe(format);
});

test("a backend without blocks refuses q8 rather than keep 16 bits", () => {
  expect(() => storedFormat(matrix("bf16"), "q8", new Set(["f32", "bf16"]))).toThrow("keeps no q8_0 weights");
});

test("bytes and formats are those of the stored weights", () => {
  const plans = [matrix("bf16", 512, "embedding"), matrix("bf16"), matrix("bf16"), matrix("q5_0"), VECTOR];
  expect(storedBytes(plans, "own", ALL)).toBe(3 * 4 * 1024 + 4 * 544 + 1024);
  expect(storedFormats(plans, "q4", ALL)).toEqual([
    { from: "bf16", to: "q8_0", matrices: 1, bytes: 4 * 544 },
    { from: "bf16", to: "q4_0", matrices: 2, bytes: 2 * 4 * 288 },
    { from: "q5_0", to: "q8_0", matrices: 1, bytes: 4 * 544 },
  ]);
});

test("people are told of a precision that nobody asked for, and of other formats", () => {
  const formats = storedFormats([matrix("bf16"), matrix("q5_0")], "own", ALL);
  expect(precisionNotes({ dtype: "own", why: "auto: it fits", formats })).toEqual([
    "1 matrix of q5_0 stored as q8_0, which holds the same values",
  ]);
  expect(precisionNotes({ dtype: "q8", why: "auto: too large", formats: [] })).toEqual([
    "weights in q8, auto: too large",
  ]);
  expect(precisionNotes({ dtype: "q4", why: "asked for", formats: [] })).toEqual([]);
});

test.each<["own" | "q8" | "q4", readonly string[]]>([
  ["own", ["1 matrix of q5_0 stored as q8_0, which holds the same values"]],
  [
    "q8",
    [
      "dtype q8, and the checkpoint is quantised already: 1 matrix of q6_k left as it is, 2 matrices of q8_0 left as they are, " +
        "1 matrix of q5_0 stored as q8_0, which holds the same values, 1 matrix of f16 quantised to q8_0, " +
        "1 matrix of f32 left as it is",
    ],
  ],
  [
    "q4",
    [
      "dtype q4, and the checkpoint is quantised already: 1 matrix of q6_k left as it is, " +
        "2 matrices of q8_0 quantised again, to q4_0, which loses precision, " +
        "1 matrix of q5_0 stored as q8_0, which holds the same values, 1 matrix of f16 quantised to q4_0, " +
        "1 matrix of f32 left as it is",
    ],
  ],
])("a checkpoint of several formats notes what dtype %s makes of them", (dtype, notes) => {
  const router = matrix("f32", 512, "router");
  const plans = [matrix("q6_k"), matrix("q8_0"), matrix("q8_0"), matrix("q5_0"), matrix("f16"), router];
  const formats = storedFormats([...plans, VECTOR], dtype, ALL);
  expect(precisionNotes({ dtype, why: "asked for", formats })).toEqual(notes);
});

test("dtype q8 of 16-bit weights needs no note: it is what was asked for", () => {
  const formats = storedFormats([matrix("bf16"), VECTOR], "q8", ALL);
  expect(precisionNotes({ dtype: "q8", why: "asked for", formats })).toEqual([]);
});
