/** Kernels are compiled before the steps that use them, and a dry run changes nothing that a step reads. */
import { describe, expect, it } from "vitest";
import { contextOf } from "../../src/backend/webgpu/bench-access.ts";
import { type WebGpuOptions, webGpuFactory } from "../../src/backend/webgpu/open-webgpu.ts";
import type { WebGpuBackend } from "../../src/backend/webgpu/webgpu-backend.ts";
import type { GenerationEngine } from "../../src/engine/engine.ts";
import type { GenerationRequest } from "../../src/engine/request.ts";
import { openTiny } from "../engine/tiny-engine.ts";
import type { Sizes } from "../sizes.ts";
import { webgpuForTests } from "./environment.ts";
import { openNullGpu } from "./null-gpu.ts";

const { gpu } = await webgpuForTests();
const { gpu: nullGpu } = await openNullGpu();

interface Opened {
  readonly engine: GenerationEngine;
  /** Labels of the kernels that a step waited for. */
  stalls(): readonly string[];
}

async function open(
  on: GPU | undefined,
  options: WebGpuOptions,
  sizes: Partial<Sizes> = {},
): Promise<Opened> {
  const adapter = await on?.requestAdapter();
  if (!adapter) throw new Error("WebGPU had an adapter and has none now");
  const backends: WebGpuBackend[] = [];
  const engine = await openTiny(
    async (model, capacity) => {
      const backend = await webGpuFactory(adapter, options)(model, capacity);
      backends.push(backend);
      return backend;
    },
    // the null device runs nothing: what it says was drawn is what its memory happened to hold
    on === nullGpu ? { sizes, changeTokens: (tokens) => tokens.fill(1) } : { sizes },
  );
  return { engine, stalls: () => backends.flatMap((backend) => contextOf(backend).recorder.compiler.stalls) };
}

async function tokensOf(engine: GenerationEngine, request: GenerationRequest): Promise<readonly number[]> {
  return (await engine.generate(request).result()).tokenIds;
}

describe.skipIf(gpu === undefined)("on the GPU of the tests, where a request prepares what it needs", () => {
  // prompts of one token and greedy draws: SwiftShader compiles a dozen kernels less
  const long = { tokenIds: [5], maxTokens: 16, temperature: 0, attention: "less-is-more:budget=8,layers=0" };
  const other: GenerationRequest = { tokenIds: [40], maxTokens: 8, temperature: 0, attention: "full" };

  it("no step waits for the compiler, and a request beside it gets the tokens that it gets alone", async () => {
    const { engine, stalls } = await open(gpu, {
      cacheDtype: "f32",
      traits: { forwardProgress: "ticketed" },
    });
    const alone = [await tokensOf(engine, long), await tokensOf(engine, other)];
    const first = engine.generate(long);
    await first[Symbol.asyncIterator]().next();
    const second = engine.generate(other);
    const together = [(await first.result()).tokenIds, (await second.result()).tokenIds];
    expect(together).toEqual(alone);
    expect(stalls()).toEqual([]);
    await engine.close();
  });
});

/** A GPU within the limits of the null device, which compiles everything and runs nothing. */
const AS_GPU: WebGpuOptions = { traits: { isSoftware: false } };
const WIDE = { maxBatchRows: 80, maxSequenceLength: 96, maxPages: 96 };

describe.skipIf(nullGpu === undefined)("on a GPU, which prepares all row counts at open", () => {
  it("no step of prompts of any length, alone or in a batch, waits for the compiler", async () => {
    const { engine, stalls } = await open(nullGpu, AS_GPU, WIDE);
    await engine.prepare();
    const tokens = (count: number) => Array.from({ length: count }, (_, i) => (i * 7) % 150);
    for (const count of [1, 3, 7, 13, 29, 47, 63, 66, 90])
      await tokensOf(engine, { tokenIds: tokens(count), maxTokens: 4, temperature: 0 });
    const attentions = [
      "full",
      "less-is-more:budget=16,layers=0",
      "quest:budget=16",
      "oracle-top-k:budget=16",
      "seer-attention-r:budget=8",
      "kascade:budget=16,anchors=0,maps=1:1-0-3-2",
    ];
    const results = attentions.map((attention, i) =>
      engine
        .generate({
          tokenIds: tokens(5 + 15 * i),
          maxTokens: 25,
          temperature: i % 2,
          repetitionPenalty: 1 + i,
          attention,
        })
        .result(),
    );
    expect(await Promise.all(results)).toHaveLength(attentions.length);
    expect(stalls()).toEqual([]);
    await engine.close();
  });

  it("an engine that closes while it prepares ends its requests, and does not wait for the rest", async () => {
    const { engine } = await open(nullGpu, AS_GPU, WIDE);
    const waiting = engine.generate({ tokenIds: [1, 2, 3], maxTokens: 4 }).result();
    const closed = expect(waiting).rejects.toThrow("the request was aborted: the engine was closed");
    await engine.close();
    await closed;
  });
});
