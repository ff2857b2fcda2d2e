import { expect, it } from "vitest";
import type { BackendFactory } from "../../src/backend/backend.ts";
import { webGpuFactory } from "../../src/backend/webgpu/open-webgpu.ts";
import type { GenerationEngine } from "../../src/engine/engine.ts";
import type { GenerationRequest } from "../../src/engine/request.ts";
import { openTiny } from "../engine/tiny-engine.ts";
import { countedGpu } from "./counted-gpu.ts";
import { webgpuForTests } from "./environment.ts";

const { gpu } = await webgpuForTests();
const ids = [5, 40, 77, 3, 150];

/**
 * Runs ten concurrent requests with every kind of sampling; some are aborted from the start. isLong: also with sparse
 * attention, an abort midway, and a consumer that stops reading.
 */
async function tenRequests(engine: GenerationEngine, isLong: boolean): Promise<void> {
  const one: GenerationRequest = { tokenIds: ids.slice(0, 1), maxTokens: 1, temperature: 0 };
  const sparse = { tokenIds: ids, maxTokens: 2, attention: "less-is-more:budget=4,sinks=1,layers=0" };
  const midway = new AbortController();
  const ending: readonly GenerationRequest[] = [
    one,
    { ...one, temperature: 1, topK: 5, seed: 1 },
    { ...one, repetitionPenalty: 1.2 },
    { ...one, temperature: 1, topP: 0.9, seed: 2, ...(isLong && sparse) },
  ];
  const aborted: readonly GenerationRequest[] = [
    { ...one, maxTokens: 50, signal: isLong ? midway.signal : AbortSignal.abort() },
    ...["full", "streaming-llm:budget=5", "quest:budget=8,page=4", "random-tokens:budget=6"].map(
      (attention) => ({ ...one, attention, signal: AbortSignal.abort() }),
    ),
  ];
  const generations = [...ending, ...aborted].map((request) => engine.generate(request));
  const results = Promise.allSettled(generations.map((generation) => generation.result()));
  if (isLong) await generations[ending.length][Symbol.asyncIterator]().next(); // it has begun
  midway.abort();
  for await (const _ of engine.generate({ ...one, maxTokens: isLong ? 50 : 1 })) break;
  expect((await results).map(({ status }) => status)).toEqual([
    ...ending.map(() => "fulfilled"),
    ...aborted.map(() => "rejected"),
  ]);
}

it.skipIf(gpu === undefined)(
  "1000 requests leave as many live buffers and bytes as 300, and close leaves none",
  async () => {
    const on = countedGpu(gpu as GPU);
    const open: BackendFactory = async (model, capacity) =>
      webGpuFactory((await on.gpu.requestAdapter()) as GPUAdapter, { cacheDtype: "f32" })(model, capacity);
    const engine = await openTiny(open, {
      sizes: { maxBatchSequences: 10, maxBatchRows: 14, maxPages: 240 },
    });
    // requests begin as their kernels are compiled, so that the largest batch comes by and by
    for (let round = 0; round < 30; round++) await tenRequests(engine, round % 10 < 2);
    const after300 = { ...on.counts[0] };
    expect(after300.buffers).toBeGreaterThan(20);
    for (let round = 30; round < 100; round++) await tenRequests(engine, round % 10 === 0);
    expect(on.counts[0]).toEqual(after300);
    await engine.close();
    expect(on.counts[0]).toEqual({ buffers: 0, bytes: 0, querySets: 0, listeners: 0, destroyed: true });
  },
  300_000, // 25 s of an idle core; SwiftShader shares it with other processes
);
