import { inject } from "vitest";
import { isSoftwareAdapter } from "../../src/backend/software-adapter.ts";
import { adapterTraits } from "../../src/backend/webgpu/open-webgpu.ts";
import type { EngineOptions } from "../../src/open-options.ts";
import { place } from "../place/here.ts";
import { webgpuForTests } from "../webgpu/environment.ts";
import type { RoundedNumbers } from "./f16-rounding.ts";

interface GoldenBackend {
  readonly name: string;
  readonly options: EngineOptions;
  /** Golden problems to solve, the shortest first: plain loops take seconds for a long one, SwiftShader half a minute. */
  readonly picoProblems: number;
  /** Golden checkpoints to run, where not all. */
  readonly checkpoints?: readonly string[];
  /**
   * Largest difference of a logit from the golden one, as a share of the largest logit: a number, or what rounding these numbers to f16 does
   * to the checkpoint at most (f16-rounding.json).
   */
  readonly allowedError: number | RoundedNumbers;
  /** The same of the bundled model, whose logits are no noise. */
  readonly picoError: number;
  /** True if rounding may decide between the best two tokens of a random checkpoint. */
  readonly isRounded?: true;
}

/** f32 sums in another order than PyTorch's. */
const F32_ERROR = { allowedError: 1e-4, picoError: 1e-4 } as const;
/** Of the bundled model with an f16 cache; an H200, whose products round to f16 as well, is off by 2e-4. */
const F16_PICO_ERROR = 1e-3;

/**
 * Keys and values in steps of a 127th of the largest of a head. Logits of random checkpoints, which are noise, were off by 0.9 %
 * to 3 % of the largest; those of the bundled model by 0.1 % to 0.3 %.
 */
const INT8_ERROR = { allowedError: 5e-2, picoError: 6e-3, isRounded: true } as const;

/** With the default cache. On SwiftShader a checkpoint in Node, and the bundled model in a browser. */
async function webGpuRows(): Promise<GoldenBackend[]> {
  const { gpu } = await webgpuForTests();
  const adapter = await gpu?.requestAdapter();
  if (!adapter) return [];
  const inPart =
    place.name === "Node"
      ? { picoProblems: 0, checkpoints: ["qwen2-bias"] }
      : { picoProblems: 1, checkpoints: [] };
  const share = isSoftwareAdapter(adapter.info) ? inPart : ({ picoProblems: 6, isRounded: true } as const);
  const allowedError = adapterTraits(adapter).subgroupMatrix ? "products" : "cache";
  const errors = { allowedError, picoError: F16_PICO_ERROR } as const;
  return [{ name: "webgpu", options: { backend: "webgpu" }, ...errors, ...share }];
}

/** Another JavaScript engine has the checkpoints to compute otherwise. */
const picoProblems = (most: number) => (inject("backends") === "wasm" ? 1 : most);

/** The backends that golden results are checked on; one more row a backend. */
export const BACKENDS: readonly GoldenBackend[] = [
  // plain loops are the same in a browser, and on any engine
  ...(place.name === "Node" && inject("backends") !== "wasm"
    ? [
        { name: "reference", options: { backend: "reference" }, picoProblems: 1, ...F32_ERROR } as const,
        {
          ...({ name: "reference, f16 cache", options: { backend: "reference", cacheDtype: "f16" } } as const),
          ...({ picoProblems: 1, allowedError: "cache", picoError: F16_PICO_ERROR, isRounded: true } as const),
        },
      ]
    : []),
  ...[1, 2].map((threads) => ({
    name: `wasm, ${threads} thread${threads === 1 ? "" : "s"}`,
    options: { backend: "wasm", threads } as const,
    picoProblems: picoProblems(6),
    ...F32_ERROR,
  })),
  {
    ...{ name: "wasm, q8 cache", options: { backend: "wasm", threads: 1, cacheDtype: "q8" } as const },
    ...{ picoProblems: picoProblems(3), ...INT8_ERROR },
    checkpoints: ["llama-mha-f32", "llama3-scaled", "qwen2-bias", "qwen3-group8", "qwen3-yarn"],
  },
  ...(await webGpuRows()),
];
