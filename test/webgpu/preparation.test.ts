/** Kernels are compiled before the steps that use them, and a dry run changes nothing that a step reads. */

import { describe, expect, it } from "vitest";
import { contextOf } from "../../src/backend/webgpu/bench-access.ts";
import { webGpuFactory } from "../../src/backend/webgpu/open-webgpu.ts";
import { WebGpuBackend } from "../../src/backend/webgpu/webgpu-backend.ts";
import type { GenerationEngine } from "../../src/engine/engine.ts";
import type { GenerationRequest } from "../../src/engine/request.ts";
import { openTiny } from "../engine/tiny-engine.ts";
import { webgpuForTests } from "./environment.ts";

const { gpu } = await webgpuForTests();

const LONG: GenerationRequest = {
  tokenIds: [5, 40, 77, 3, 150, 9, 21, 33, 60, 2, 8],
  maxTokens: 40,
  temperature: 0,
  attention: "less-is-more:budget=16,layers=0",
};
const OTHER: GenerationRequest = {
  ...LONG,
  attention: "quest:budget=16",
  temperature: 0.8,
  seed: 7,
  maxTokens: 20,
};

describe.skipIf(gpu === undefined)("prepared kernels", () => {
  it("no step of requests that begin one after the other waits for the compiler, and none is disturbed", async () => {
    let backend: WebGpuBackend | undefined;
    const engine = await openTiny(async (model, capacity) => {
      const adapter = (await (gpu as GPU).requestAdapter()) as GPUAdapter;
      const opened = await webGpuFactory(adapter, {
        cacheDtype: "f32",
        traits: { forwardProgress: "ticketed" },
      })(model, capacity);
      if (opened instanceof WebGpuBackend) backend = opened;
      return opened;
    });
    const stalls = () => (backend && contextOf(backend).recorder)?.compiler.stalls;
    const alone = [await tokensOf(engine, LONG), await tokensOf(engine, OTHER)];
    expect(stalls()).toEqual([]);

    const first = engine.generate(LONG);
    const iterator = first[Symbol.asyncIterator]();
    await iterator.next();
    const second = engine.generate(OTHER);
    const together = [(await first.result()).tokenIds, (await second.result()).tokenIds];
    expect(together).toEqual(alone);
    expect(stalls()).toEqual([]);
    await engine.close();
  });
});

async function tokensOf(engine: GenerationEngine, request: GenerationRequest): Promise<readonly number[]> {
  return (await engine.generate(request).result()).tokenIds;
}
