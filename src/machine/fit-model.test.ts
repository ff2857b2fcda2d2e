import { describe, expect, test } from "vitest";
import type { Capacity } from "../backend/backend.ts";
import type { BackendCandidate } from "../backend/backend-kind.ts";
import { plainShape } from "../backend/plain-shape.ts";
import { BackendError, ConfigError } from "../base/errors.ts";
import { type DtypeChoice, fitModel } from "./fit-model.ts";

const MIB = 2 ** 20;
const MODEL = plainShape({
  ...{ numLayers: 8, hiddenSize: 64, intermediateSize: 64, numQueryHeads: 4, numKvHeads: 4, headDim: 32 },
  ...{ vocabSize: 100, rmsNormEps: 1e-6 },
});
/** Keys and values of a token: 2 × 8 layers × 4 heads × 32 × 4 bytes = 8 KiB. */
const TOKEN_BYTES = 8192;
const CAPACITY: Capacity = {
  ...{ pageSize: 16, maxPages: 16 * 2048, maxSequenceLength: 32768, maxBatchRows: 16, maxBatchSequences: 16 },
};
const BYTES = { own: 100 * MIB, q8: 53 * MIB, q4: 30 * MIB };

/** A backend with so much memory for weights, keys and values. */
function memoryOf(sizeBytes: number): BackendCandidate {
  return {
    ...{ auto: { isWanted: true }, allowedError: 0, maxConcurrent: 16, cacheDtype: "f32" },
    memory: { weightFormats: new Set(), cacheDtypes: ["f32"], prefillRows: 16, workBytes: () => 3 * MIB },
    prefillRows: () => 16,
    memoryLimit: ({ weightBytes }) => ({
      fits: ({ maxPages }) => weightBytes + maxPages * 16 * TOKEN_BYTES <= sizeBytes,
      name: `${sizeBytes / MIB} MiB of memory`,
    }),
    open: () => Promise.reject(new Error("not opened here")),
  };
}

function fit(
  mebibytes: number,
  choice: DtypeChoice,
  context?: number,
  sizes: Record<string, number> = BYTES,
) {
  const capacity =
    context === undefined ? CAPACITY : { ...CAPACITY, maxSequenceLength: context, maxPages: context };
  return fitModel(memoryOf(mebibytes * MIB), {
    model: MODEL,
    capacity,
    weights: { choice, bytes: (dtype) => sizes[dtype] ?? 0 },
    asked: { context: context !== undefined, concurrency: false },
  });
}

describe("auto", () => {
  test("keeps the checkpoint's own precision while 4096 tokens fit beside it, with the context that is left", () => {
    expect(fit(132, "auto")).toMatchObject({
      dtype: "own",
      weightBytes: BYTES.own,
      capacity: { maxSequenceLength: 4096 },
    });
    expect(fit(400, "auto").capacity.maxSequenceLength).toBe(32768);
  });

  test("takes q8 where they do not, and says the numbers", () => {
    const { dtype, dtypeWhy, capacity } = fit(131, "auto");
    expect([dtype, capacity.maxSequenceLength]).toEqual(["q8", (131 - 53) * 128]);
    expect(dtypeWhy).toContain(
      "weights 100 MiB as the checkpoint has them, keys and values of 4096 tokens 32 MiB, work space 3 MiB",
    );
  });

  test("measures by a context that was asked for", () => {
    expect(fit(132, "auto", 8192).dtype).toBe("q8");
    expect(fit(164, "auto", 8192).dtype).toBe("own");
  });

  test("keeps weights that are quantised already, with a shorter context, and does not call them q8", () => {
    const fitted = fit(60, "auto", undefined, { own: 50 * MIB, q8: 50 * MIB, q4: 50 * MIB });
    expect(fitted).toMatchObject({ dtype: "own", capacity: { maxSequenceLength: 1280 } });
    expect(fitted.dtypeWhy).toContain("quantised already");
  });

  test("never takes q4, but says that it would fit", () => {
    expect(() => fit(85, "auto", 8192)).toThrow(ConfigError);
    expect(() => fit(100, "auto", 8192)).toThrow("dtype q4 would fit (weights 30 MiB)");
  });
});

describe("a precision that is named", () => {
  test("is kept, with a shorter context", () => {
    expect(fit(110, "own")).toMatchObject({ dtype: "own", capacity: { maxSequenceLength: 1280 } });
    expect(fit(40, "q4")).toMatchObject({ dtype: "q4", dtypeWhy: "asked for" });
  });

  test("is refused where nothing fits beside it, with the numbers and the nearest that would fit", () => {
    expect(() => fit(99, "own")).toThrow(BackendError);
    expect(() => fit(99, "own")).toThrow(
      "the model does not fit into the 99 MiB of memory: weights 100 MiB as the checkpoint has them",
    );
    expect(() => fit(99, "own")).toThrow("dtype q8 would fit (weights 53 MiB)");
    expect(() => fit(70, "own")).toThrow("dtype q4 would fit");
    expect(() => fit(20, "q4")).toThrow("no precision fits: use a smaller model");
  });
});
