import { setFlagsFromString } from "node:v8";
import { describe, expect, it } from "vitest";
import { sizesOf } from "../../../test/sizes.ts";
import { BackendError } from "../../base/errors.ts";
import { createWasmHost } from "../../node/wasm-host.ts";
import { type WasmOptions, wasmFactory } from "./open-wasm.ts";

const SIZES = {
  ...{ numLayers: 1, hiddenSize: 8, intermediateSize: 8, numQueryHeads: 1, numKvHeads: 1, headDim: 4 },
  ...{ vocabSize: 8, rmsNormEps: 1e-6, pageSize: 4, maxPages: 1, maxSequenceLength: 4 },
  ...{ maxBatchRows: 1, maxBatchSequences: 1 },
};

async function describeBuild(options: WasmOptions): Promise<string> {
  const backend = await wasmFactory(createWasmHost(), options)(...sizesOf(SIZES));
  const { description } = backend.report();
  await backend.close();
  return description;
}

describe("opening the wasm backend", () => {
  // Node 20 needs a flag for relaxed SIMD; later versions enable it and do not know the flag.
  const isBehindFlag = Number.parseInt(process.versions.node, 10) < 22;

  it.runIf(isBehindFlag)(
    "uses the plain build where the engine lacks relaxed SIMD, and refuses the other",
    async () => {
      expect(await describeBuild({ threads: 1 })).toBe("WebAssembly, SIMD, 1 thread");
      await expect(describeBuild({ threads: 1, simd: "relaxed" })).rejects.toThrow(BackendError);
    },
  );

  it("uses the relaxed build if the JavaScript engine supports it, unless told otherwise", async () => {
    if (isBehindFlag) setFlagsFromString("--experimental-wasm-relaxed-simd");
    expect(await describeBuild({ threads: 2 })).toBe("WebAssembly, relaxed SIMD, 2 threads");
    expect(await describeBuild({ threads: 1, simd: "simd" })).toBe("WebAssembly, SIMD, 1 thread");
  });
});
