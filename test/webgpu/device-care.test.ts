/** What becomes of a device: it is lost, it hangs, it is shared, it is small, and nothing is left on it. */
import { describe, expect, it } from "vitest";
import type { BackendFactory } from "../../src/backend/backend.ts";
import { DeviceWatch } from "../../src/backend/webgpu/device-watch.ts";
import { openWebGpuBackend, requestWebGpuDevice } from "../../src/backend/webgpu/open-webgpu.ts";
import { WebGpuBackend } from "../../src/backend/webgpu/webgpu-backend.ts";
import { BackendError } from "../../src/base/errors.ts";
import { shapeOf } from "../conformance/trial.ts";
import { openTiny } from "../engine/tiny-engine.ts";
import { type CountedGpu, countedGpu } from "./counted-gpu.ts";
import { webgpuForTests } from "./environment.ts";

const { gpu } = await webgpuForTests();
const ids = [5, 40, 77, 3, 150];
const NOTHING_LEFT = { buffers: 0, bytes: 0, querySets: 0, listeners: 0, destroyed: false };

describe.skipIf(gpu === undefined)("a WebGPU device", () => {
  const counted = (limits = {}): CountedGpu => countedGpu(gpu as GPU, limits);

  it("lost under running requests is a BackendError of each; opening again gives the same tokens", async () => {
    const on = counted();
    const openOn: BackendFactory = async (shape) =>
      openWebGpuBackend(shape, (await on.gpu.requestAdapter()) as GPUAdapter, { cacheDtype: "f32" });
    const engine = await openTiny(openOn);
    const { tokenIds } = await engine.generate({ tokenIds: ids, maxTokens: 3, temperature: 0 }).result();
    const request = { tokenIds: ids, maxTokens: 80, temperature: 0 };
    const read = engine.generate(request);
    const iterator = read[Symbol.asyncIterator]();
    const next = async () => {
      while (!(await iterator.next()).done);
    };
    await iterator.next();
    const pending = [next(), engine.generate(request).result(), engine.logits(ids), read.result()];
    on.devices[0]?.destroy();
    const lost = /^backend webgpu: the device was lost \(.+\); close the engine and open it again$/;
    for (const settled of await Promise.allSettled(pending)) {
      expect(settled).toMatchObject({ status: "rejected", reason: { message: expect.stringMatching(lost) } });
      expect(settled.status === "rejected" && settled.reason).toBeInstanceOf(BackendError);
    }
    await expect(engine.generate(request).result()).rejects.toThrow(lost);
    await expect(engine.logits(ids)).rejects.toThrow(lost);
    await engine.close();

    const again = await openTiny(openOn);
    const result = await again.generate({ tokenIds: ids, maxTokens: 3, temperature: 0 }).result();
    expect(result.tokenIds).toEqual(tokenIds);
    await again.close();
    expect(on.counts).toHaveLength(2);
    for (const counts of on.counts) expect(counts).toEqual({ ...NOTHING_LEFT, destroyed: true });
  });

  it("that does not answer is a BackendError that says what was waited for, and fails whoever waits beside", async () => {
    const on = counted();
    const device = await requestWebGpuDevice((await on.gpu.requestAdapter()) as GPUAdapter);
    const watch = new DeviceWatch(device, 30);
    const never = new Promise<never>(() => {});
    const beside = expect(watch.wait("the moon", never)).rejects.toThrow("waiting for ");
    await expect(watch.wait("drawn tokens", never)).rejects.toThrow(BackendError);
    await beside;
    expect(watch.hasFailed).toBe(true);
    expect(() => watch.check()).toThrow(/waiting for .+: no answer in 0.03 s/);
    watch.close();
    device.destroy();
  });

  it("shared by many backends one after the other keeps nothing of them", async () => {
    const on = counted();
    const adapter = (await on.gpu.requestAdapter()) as GPUAdapter;
    const device = await requestWebGpuDevice(adapter);
    for (let i = 0; i < 12; i++) {
      const backend = await openWebGpuBackend(shapeOf(), adapter, { device });
      backend.createTensor("f32", [100]);
      expect(on.counts[0]?.listeners).toBe(1);
      const fail = () => {
        throw new Error("no work");
      };
      if (device.features.has("timestamp-query") && backend instanceof WebGpuBackend)
        await expect(backend.profile(fail)).rejects.toThrow("no work");
      await backend.close();
    }
    expect(on.counts).toEqual([NOTHING_LEFT]);
    device.destroy();
  });
});
