/** A GPU device that is lost while no request runs: the next request finds it, and the engine says that it has ended. */
import { describe, expect, test } from "vitest";
import { requestWebGpuDevice, webGpuFactory } from "../../src/backend/webgpu/open-webgpu.ts";
import { webgpuForTests } from "../webgpu/environment.ts";
import { openTiny } from "./tiny-engine.ts";

const { gpu, reason } = await webgpuForTests();
const greedy = { tokenIds: [3, 40, 77, 114], maxTokens: 3, temperature: 0 };
const sampled = { ...greedy, temperature: 1, seed: 4 };

describe.skipIf(gpu === undefined)(`webgpu${reason === undefined ? "" : ` (${reason})`}`, () => {
  test("a request that needs other kernels ends the engine", async () => {
    const adapter = await gpu?.requestAdapter();
    if (!adapter) throw new Error("WebGPU had an adapter and has none now");
    const device = await requestWebGpuDevice(adapter);
    const engine = await openTiny(webGpuFactory(adapter, { device }), {});
    await engine.generate(greedy).result();
    device.destroy();
    await device.lost;
    await expect(engine.generate(sampled).result()).rejects.toThrow("the device was lost");
    expect(engine.failure?.message).toContain("the device was lost");
    await engine.close();
  }, 60_000);
});
