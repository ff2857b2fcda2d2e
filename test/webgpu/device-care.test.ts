/** Devices that are lost, hang, are shared, or are too small; and leaks on them. */
import { describe, expect, it } from "vitest";
import type { Backend, BackendFactory } from "../../src/backend/backend.ts";
import { profile } from "../../src/backend/webgpu/bench-access.ts";
import { DeviceWatch } from "../../src/backend/webgpu/device-watch.ts";
import { requestWebGpuDevice, webGpuFactory } from "../../src/backend/webgpu/open-webgpu.ts";
import { WebGpuBackend } from "../../src/backend/webgpu/webgpu-backend.ts";
import { BackendError, ConfigError } from "../../src/base/errors.ts";
import { openFileFolder } from "../../src/node/file-folder.ts";
import { createWasmHost } from "../../src/node/wasm-host.ts";
import { openEngineWith } from "../../src/open.ts";
import type { EngineOptions } from "../../src/open-options.ts";
import { attention } from "../conformance/brute-force.ts";
import { nmse } from "../conformance/random-weights.ts";
import { Trial, type TrialBackend } from "../conformance/trial.ts";
import { openTiny, TINY_MODEL } from "../engine/tiny-engine.ts";
import { sizesOf } from "../sizes.ts";
import { matrixSpec } from "../weight-specs.ts";
import { type CountedGpu, countedGpu } from "./counted-gpu.ts";
import { webgpuForTests } from "./environment.ts";

const { gpu } = await webgpuForTests();
const isSwiftShader = (await gpu?.requestAdapter())?.info.architecture === "swiftshader";
if (gpu && !isSwiftShader) console.warn("the test of a GPU without memory is skipped: it needs SwiftShader");
const ids = [5, 40, 77, 3, 150];
const NOTHING_LEFT = { buffers: 0, bytes: 0, querySets: 0, listeners: 0, destroyed: false };

/** The backend as a trial is to see it: with room for so many pages. */
function withPages(backend: Backend, maxPages: number): TrialBackend {
  return new Proxy(backend, {
    get(target, key) {
      const value: unknown = Reflect.get(target, key, target);
      if (key === "capacity") return { ...target.capacity, maxPages };
      return typeof value === "function" ? value.bind(target) : value;
    },
  }) as TrialBackend;
}

/** Makes the n-th error scope from now on tell of memory that the device does not have. */
function failScope(device: GPUDevice, n: number): void {
  const { popErrorScope } = device;
  let popped = 0;
  device.popErrorScope = async () => {
    const error = await popErrorScope.call(device);
    return ++popped === n ? ({ message: "none left" } as GPUError) : error;
  };
}

describe.skipIf(gpu === undefined)("a WebGPU device", () => {
  const counted = (limits = {}): CountedGpu => countedGpu(gpu as GPU, { limits });

  it("that is lost fails every running request with a BackendError; a new device gives the same tokens", async () => {
    const on = counted();
    const openOn: BackendFactory = async (model, capacity) =>
      webGpuFactory((await on.gpu.requestAdapter()) as GPUAdapter, { cacheDtype: "f32" })(model, capacity);
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

  it("that does not respond fails every wait, with a BackendError that names the wait", async () => {
    const on = counted();
    const device = await requestWebGpuDevice((await on.gpu.requestAdapter()) as GPUAdapter);
    const watch = new DeviceWatch(device, 30);
    const never = new Promise<never>(() => {});
    const other = expect(watch.wait("the moon", never)).rejects.toThrow("waiting for ");
    await expect(watch.wait("drawn tokens", never)).rejects.toThrow(BackendError);
    await other;
    expect(watch.hasFailed).toBe(true);
    expect(() => watch.check()).toThrow(/waiting for .+: no answer in 0.03 s/);
    let isRefused = false;
    watch.wait("the next", never).catch(() => {
      isRefused = true;
    });
    await Promise.resolve();
    expect(isRefused).toBe(true); // at once
    watch.close();
    device.destroy();
  });

  it("that takes long is polled seldom, whatever it is asked", async () => {
    const on = counted();
    const device = await requestWebGpuDevice((await on.gpu.requestAdapter()) as GPUAdapter);
    const watch = new DeviceWatch(device);
    let turns = 0;
    let isDone = false;
    const count = () => {
      turns++;
      if (!isDone) setImmediate(count);
    };
    setImmediate(count);
    await watch.wait("a compiler", new Promise<void>((resolve) => setTimeout(resolve, 40)));
    isDone = true;
    expect(turns).toBeLessThan(40 / 0.1);
    watch.close();
    device.destroy();
  });

  it("shared by 12 backends in sequence keeps no buffer, query set or listener of them", async () => {
    const on = counted();
    const adapter = (await on.gpu.requestAdapter()) as GPUAdapter;
    const device = await requestWebGpuDevice(adapter);
    for (let i = 0; i < 12; i++) {
      const backend = await webGpuFactory(adapter, { device })(...sizesOf());
      backend.createTensor("f32", [100]);
      expect(on.counts[0]?.listeners).toBe(1);
      const fail = () => {
        throw new Error("no work");
      };
      if (device.features.has("timestamp-query") && backend instanceof WebGpuBackend)
        await expect(profile(backend, fail, "all")).rejects.toThrow("no work");
      await backend.close();
    }
    expect(on.counts).toEqual([NOTHING_LEFT]);
    device.destroy();
  });

  describe("that is too small", () => {
    // One source for all, so that the self-test runs once.
    let current: CountedGpu | undefined;
    const openGpu = async () => {
      if (!current) throw new TypeError("no GPU was given");
      return current.gpu;
    };
    const openOn = async (on: CountedGpu, options: EngineOptions & { model?: string } = {}) => {
      current = on;
      const { model = TINY_MODEL, ...rest } = options;
      const folder = await openFileFolder(model);
      return openEngineWith({ folder, wasm: createWasmHost(), openGpu }, { backend: "webgpu", ...rest });
    };
    /** 192 bytes of keys a token and layer: 1365 tokens, 85 whole pages. */
    const small = { maxStorageBufferBindingSize: 256 << 10 };

    it("for the default context gets a context that fits one binding, with the reason in the report", async () => {
      const engine = await openOn(counted(small));
      const { model, contextNote } = engine.report();
      expect(model.contextLength).toBe(85 * 16);
      expect(contextNote).toBe(
        "context lowered from 4096 to 1360 tokens: that is what fits into the 1 MiB that this GPU binds at once " +
          "(maxStorageBufferBindingSize, maxBufferSize)",
      );
      await engine.close();
    });

    it.each<[string, object, EngineOptions, typeof BackendError | typeof ConfigError, string]>([
      [
        "for the requested context",
        small,
        { contextLength: 2000 },
        ConfigError,
        "contextLength 2000 does not fit into the 1 MiB that this GPU binds at once " +
          "(maxStorageBufferBindingSize, maxBufferSize); the longest that fits is 1360",
      ],
      ["for one page", { maxBufferSize: 3000 }, {}, BackendError, "use a smaller model"],
      [
        "for the kernels",
        { maxStorageBuffersPerShaderStage: 4, maxComputeInvocationsPerWorkgroup: 128 },
        {},
        BackendError,
        "maxStorageBuffersPerShaderStage must be at least 8 and is 4; " +
          "maxComputeInvocationsPerWorkgroup must be at least 256 and is 128; use the wasm backend",
      ],
    ])("%s is refused before a device is created or a weight read", async (_, limits, options, kind, message) => {
      const on = counted(limits);
      const opening = openOn(on, options);
      await expect(opening).rejects.toThrow(kind);
      await expect(opening).rejects.toThrow(message);
      expect(on.devices).toHaveLength(0);
    });

    // SwiftShader's limits allow buffers of 1 GiB, but it has no memory for one
    it.skipIf(!isSwiftShader)(
      "for a larger cache keeps the old one; for the weights causes a BackendError and frees everything",
      async () => {
        const on = counted();
        const open = async () => (await on.gpu.requestAdapter()) as GPUAdapter;
        // 512 bytes of keys a page and layer
        const large = await webGpuFactory(await open())(...sizesOf({ numLayers: 2, maxPages: 2 ** 21 }));
        expect(await large.resizeCache(8)).toBe(true);
        const trial = new Trial(withPages(large, 8), 1).withInputs();
        const sequence = await trial.filled(20);
        const before = { ...on.counts[0] };
        expect(await large.resizeCache(2 ** 21)).toBe(false);
        expect(on.counts[0]).toEqual(before);
        failScope(on.devices[0] as GPUDevice, 3); // two scopes a layer: the second layer's memory
        expect(await large.resizeCache(12)).toBe(false);
        expect(on.counts[0]).toEqual(before);
        expect(large.report().kvCacheBytes).toBe(2 * 2 * 8 * 512);
        trial.run([trial.part(sequence, 1)]);
        large.attendAll(1, { first: 0, count: 1 }, trial.query, trial.output);
        const expected = trial.queries[0].flatMap((query, h) => [
          ...attention(query, trial.keysOf(sequence, 1, h), trial.valuesOf(sequence, 1, h)),
        ]);
        const output = await trial.floats(trial.output);
        expect(nmse(output.subarray(0, expected.length), expected)).toBeLessThan(1e-5); // an f16 cache
        await large.close();

        const backend = await webGpuFactory(await open())(...sizesOf());
        const weight = backend.createWeight(matrixSpec("large", "f32", [262144, 1024]));
        const writing = backend.writeWeight(weight, 0, new Uint8Array(8 * 4096));
        await expect(writing).rejects.toThrow(/no memory left for 1025 MiB of weights beside \d+ MiB: .+/);
        await backend.close();
        expect(on.counts.at(-1)).toEqual({ ...NOTHING_LEFT, destroyed: true });
      },
    );
  });
});
