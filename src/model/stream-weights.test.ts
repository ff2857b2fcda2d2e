import { expect, test } from "vitest";
import { sizesOf } from "../../test/sizes.ts";
import { createReferenceBackend } from "../backend/reference/reference-backend.ts";
import type { ByteSource } from "../load/byte-source.ts";
import { streamWeights } from "./stream-weights.ts";
import type { WeightPlan } from "./weight-rows.ts";

const COLS = 32;
const ROWS = 8;
const NUM_WEIGHTS = 40;
const SIZES = {
  ...{ numLayers: 1, hiddenSize: COLS, intermediateSize: 8, numQueryHeads: 1, numKvHeads: 1, headDim: 4 },
  ...{ vocabSize: 8, rmsNormEps: 1e-6, pageSize: 4, maxPages: 1, maxSequenceLength: 4 },
  ...{ maxBatchRows: 1, maxBatchSequences: 1 },
};

test("memory that reads share is not filled anew before its rows are written", async () => {
  const file = new Float32Array(NUM_WEIGHTS * ROWS * COLS).map((_, i) => i);
  const bytes = new Uint8Array(file.buffer);
  const memories = new Set<ArrayBufferLike>();
  const source: ByteSource = {
    name: "file",
    sizeBytes: bytes.length,
    read: async () => {
      throw new Error("a source that fills memory is asked to");
    },
    readInto: async (into, offset) => {
      memories.add(into.buffer);
      into.set(bytes.subarray(offset, offset + into.length));
    },
  };
  const backend = await createReferenceBackend(...sizesOf(SIZES));
  const written: number[] = [];
  const slow = Object.assign(Object.create(backend), {
    writeWeight: async (_: unknown, __: number, rows: Uint8Array) => {
      await new Promise((resolve) => setTimeout(resolve, 1)); // reads ahead end meanwhile
      written.push(...new Float32Array(rows.slice().buffer));
    },
  });
  const placed = Array.from({ length: NUM_WEIGHTS }, (_, i) => {
    const spec = { kind: "matrix", name: `w${i}`, format: "f32", rows: ROWS, cols: COLS } as const;
    const sizeBytes = ROWS * COLS * 4;
    const shape = [ROWS, COLS];
    const entry = {
      name: spec.name,
      format: "f32",
      fileDtype: "F32",
      shape,
      source,
      offset: i * sizeBytes,
      sizeBytes,
    } as const;
    const plan: WeightPlan = { spec, runs: [{ entry, firstRow: 0, numRows: ROWS }] };
    return { plan, weight: backend.createWeight(spec) };
  });
  await streamWeights(placed, slow);
  expect(written).toEqual([...file]);
  expect(memories.size).toBeLessThan(10);
});
