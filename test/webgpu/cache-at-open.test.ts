/** Opening a model on a GPU whose memory holds its weights, but not the cache of the asked context beside them. */
import { expect, test } from "vitest";
import { OutOfMemoryError } from "../../src/base/errors.ts";
import { openFileFolder } from "../../src/node/file-folder.ts";
import { createWasmHost } from "../../src/node/wasm-host.ts";
import { openEngineWith } from "../../src/open.ts";
import type { EngineOptions } from "../../src/open-options.ts";
import { webgpuForTests } from "./environment.ts";
import { limitedMemory } from "./limited-memory.ts";

const { gpu } = await webgpuForTests();
/** Rows of whole blocks, so that q8 is smaller. */
const MODEL = "test/golden/hf/qwen3-yarn";
const CONTEXT = 256;
/** SwiftShader compiles the kernels for 10 s of a core, which it may have to share. */
const COMPILING_MS = 300_000;

test.skipIf(gpu === undefined)(
  "auto takes q8 if the asked context fits beside that alone; what was named is refused with the numbers",
  async () => {
    const limited = limitedMemory(gpu as GPU);
    const openGpu = async () => limited.gpu;
    const open = async (options: EngineOptions) => {
      const host = { folder: await openFileFolder(MODEL), wasm: createWasmHost(), openGpu };
      const engine = await openEngineWith(host, { backend: "webgpu", maxConcurrent: 1, ...options });
      const { weights } = engine.report().model;
      await engine.close();
      return weights;
    };
    const peakOf = async (options: EngineOptions) => {
      await open(options);
      return limited.peakBytes;
    };
    const [own, q8] = [
      await peakOf({ dtype: "own", contextLength: CONTEXT }),
      await peakOf({ dtype: "q8", contextLength: CONTEXT }),
    ];
    expect(q8).toBeLessThan(own);
    limited.maxBytes = own - 1;
    const taken = await open({ contextLength: CONTEXT });
    expect(taken.dtype).toBe("q8");
    expect(taken.why).toMatch(
      /^auto: the checkpoint's own precision did not fit \(opening webgpu: the device has no memory for keys and values of 256 tokens \(1 MiB in f16\) beside weights of 1 MiB; /,
    );
    const named = open({ dtype: "own", contextLength: CONTEXT });
    await expect(named).rejects.toThrow(OutOfMemoryError);
    await expect(named).rejects.toThrow(
      /; choose a shorter contextLength, cacheDtype q8, dtype q8, or use the wasm backend$/,
    );
    // the engine's own policy counts: it would lack its memory at the first request
    limited.maxBytes = q8;
    const sketched = open({ dtype: "q8", contextLength: CONTEXT, attention: "key-sketch:budget=64" });
    await expect(sketched).rejects.toThrow(OutOfMemoryError);
    limited.maxBytes = q8 - 1;
    await expect(open({ contextLength: CONTEXT })).rejects.toThrow(OutOfMemoryError);
    // nobody named a context: the last precision opens, and a request takes what there is
    expect((await open({ dtype: "own" })).dtype).toBe("own");
  },
  COMPILING_MS,
);
