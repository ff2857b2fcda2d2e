/** Growths of the KV cache on a device whose memory ends: Dawn's null device has 512 MiB, and counts them. */
import { describe, expect, it } from "vitest";
import { decoderTensors, scoreBytes } from "../../src/backend/decoder-memory.ts";
import { requestWebGpuDevice, webGpuFactory } from "../../src/backend/webgpu/open-webgpu.ts";
import type { WebGpuBackend } from "../../src/backend/webgpu/webgpu-backend.ts";
import { OutOfMemoryError, OutOfPagesError } from "../../src/base/errors.ts";
import { openTiny } from "../engine/tiny-engine.ts";
import { type Sizes, sizesOf } from "../sizes.ts";
import { openNullGpu } from "./null-gpu.ts";

const { gpu } = await openNullGpu();
const STORAGE = 0x80;
const MIB = 1 << 20;

async function openDevice(): Promise<{ device: GPUDevice; adapter: GPUAdapter }> {
  const adapter = await gpu?.requestAdapter();
  if (!adapter) throw new Error("Dawn's null backend had an adapter and has none now");
  return { device: await requestWebGpuDevice(adapter), adapter };
}

/** Takes the memory of the device but for so many bytes, to the next 64 KiB. */
async function fill(device: GPUDevice, room: number): Promise<void> {
  const made = async (size: number) => {
    device.pushErrorScope("out-of-memory");
    const buffer = device.createBuffer({ size, usage: STORAGE });
    return (await device.popErrorScope()) ? undefined : buffer;
  };
  const kept = Array.from({ length: Math.ceil(room / MIB) }, () =>
    device.createBuffer({ size: MIB, usage: STORAGE }),
  );
  for (let size = 64 * MIB; size >= 1 << 16; size /= 2) while (await made(size));
  for (const buffer of kept) buffer.destroy();
}

/** Grows the cache to the last page that the backend grants. */
async function growToTheEnd(backend: WebGpuBackend): Promise<number> {
  let size = 0;
  for (let more = backend.capacity.maxPages; more >= 1; more = Math.floor(more / 2))
    if (size + more <= backend.capacity.maxPages && (await backend.resizeCache(size + more))) size += more;
  return size;
}

describe.skipIf(gpu === undefined)("the KV cache of a device whose memory ends", () => {
  const sizes: Partial<Sizes> = {
    ...{ numLayers: 24, maxPages: 2 ** 13, maxSequenceLength: 4096, maxBatchSequences: 8, pageSize: 32 },
  };

  it("leaves room for all that steps may still make", async () => {
    const { device, adapter } = await openDevice();
    const backend = await webGpuFactory(adapter, { device, cacheDtype: "f32" })(...sizesOf(sizes));
    await fill(device, 300 * MIB);
    const pages = await growToTheEnd(backend);
    expect(pages).toBeGreaterThan(1000);
    expect(pages).toBeLessThan(backend.capacity.maxPages);
    const { model, capacity } = backend;
    for (const dimensions of Object.values(decoderTensors(model, capacity)))
      backend.createTensor("f32", dimensions);
    for (let set = 0; set < 3; set++) backend.createTensor("f32", [scoreBytes(model, capacity) / 4]);
    for (let i = 0; i < 4; i++) backend.createTensor("u32", [(16 * MIB) / 4]);
    backend.beginStep({
      ...{ numRows: 1, numSequences: 1, maxPagesPerSequence: 128 },
      ...{ tokenIds: new Uint32Array(1), slots: new Uint32Array(1), rope: new Float32Array(6) },
      ...{ firstRows: new Uint32Array(1), rowCounts: Uint32Array.of(1), lengths: Uint32Array.of(1) },
      ...{ validBounds: new Uint32Array(1), pageTables: new Uint32Array(128) },
    });
    for (let layer = 0; layer < 24; layer++) backend.updatePageBounds(layer, { first: 0, count: 1 });
    await backend.finish();
    await backend.close();
    device.destroy();
  });

  it("refuses to grow and keeps its size where there is no room; to shrink needs none", async () => {
    const { device, adapter } = await openDevice();
    const backend = await webGpuFactory(adapter, { device, cacheDtype: "f32" })(...sizesOf(sizes));
    expect(await backend.resizeCache(64)).toBe(true);
    const before = backend.report().kvCacheBytes;
    await fill(device, 100 * MIB);
    expect(await backend.resizeCache(65)).toBe(false);
    expect(backend.report().kvCacheBytes).toBe(before);
    await fill(device, MIB);
    expect(await backend.resizeCache(8)).toBe(true);
    expect(backend.report().kvCacheBytes).toBe(before / 8);
    await backend.finish();
    await backend.close();
    device.destroy();
  });

  it("has its headroom back when a growth is done or refused: something was submitted after it, and waited for", async () => {
    const { device, adapter } = await openDevice();
    const backend = await webGpuFactory(adapter, { device, cacheDtype: "f32" })(...sizesOf(sizes));
    const events: string[] = [];
    const { createBuffer } = device;
    device.createBuffer = (descriptor) => {
      const buffer = createBuffer.call(device, descriptor);
      const { destroy } = buffer;
      if (descriptor.label === "headroom")
        buffer.destroy = () => {
          events.push("headroom");
          return destroy.call(buffer);
        };
      return buffer;
    };
    const { queue } = device;
    const { submit, onSubmittedWorkDone } = queue;
    Object.assign(queue, {
      submit: (commands: GPUCommandBuffer[]) => {
        events.push("submit");
        return submit.call(queue, commands);
      },
      onSubmittedWorkDone: () => {
        events.push("wait");
        return onSubmittedWorkDone.call(queue);
      },
    });
    Object.defineProperty(device, "queue", { value: queue });
    for (const [pages, isGranted] of [
      [4, true],
      [8, true],
      [12, false],
    ] as const) {
      if (!isGranted) await fill(device, 100 * MIB);
      events.length = 0;
      expect(await backend.resizeCache(pages)).toBe(isGranted);
      const last = events.lastIndexOf("headroom");
      expect(last).toBeGreaterThanOrEqual(0);
      const after = events.slice(last + 1);
      expect([after[0], after.includes("wait")]).toEqual(["submit", true]);
    }
    await backend.close();
    device.destroy();
  });

  it("costs the request whose policy keeps data that have no room, and no other", async () => {
    const { device, adapter } = await openDevice();
    const factory = webGpuFactory(adapter, { device, cacheDtype: "f32" });
    const engine = await openTiny(factory, { changeTokens: (tokens) => tokens.fill(1) });
    const request = { tokenIds: [5, 40, 77], maxTokens: 40, temperature: 0 };
    await engine.generate(request).result();
    const room = device.createBuffer({ size: 200 * MIB, usage: STORAGE });
    await fill(device, 100 * MIB);
    for (const attention of ["key-sketch:budget=16", "seer-attention-r:budget=16"]) {
      const failing = engine.generate({ ...request, attention }).result();
      await expect(failing).rejects.toThrow(OutOfMemoryError);
      await expect(failing).rejects.toThrow(
        / beside the KV cache, for which there is no room: backend webgpu: /,
      );
    }
    const others = () =>
      ["full", "quest:budget=16"].map((attention) => engine.generate({ ...request, attention }).result());
    for (const { tokenIds } of await Promise.all(others())) expect(tokenIds).toHaveLength(40);
    // memory that comes back is taken
    room.destroy();
    device.queue.submit([]);
    await device.queue.onSubmittedWorkDone();
    for (const attention of ["key-sketch:budget=16", "seer-attention-r:budget=16"])
      expect((await engine.generate({ ...request, attention }).result()).tokenIds).toHaveLength(40);
    for (const { tokenIds } of await Promise.all(others())) expect(tokenIds).toHaveLength(40);
    await engine.close();
    device.destroy();
  });

  it("holds data of pages for the pool that is, not for the one that may be, and grows with them", async () => {
    const { device, adapter } = await openDevice();
    const backend = await webGpuFactory(adapter, { device, cacheDtype: "f32" })(...sizesOf(sizes));
    expect(await backend.resizeCache(64)).toBe(true);
    // for all 8192 pages these would be 8 GiB
    const pageBytes = MIB / 4;
    const make = () => Array.from({ length: 4 }, () => backend.createPageTensor("u32", [pageBytes / 4]));
    await backend.allocate("data of a test", make);
    expect(await backend.resizeCache(128)).toBe(true);
    // 1 MiB of data and 0.75 of keys and values for each page
    expect(await growToTheEnd(backend)).toBeLessThan(400);
    await expect(backend.allocate("data of a test", make)).rejects.toThrow(OutOfMemoryError);
    await backend.finish();
    await backend.close();
    device.destroy();
  });

  it("has all memory back of data that did not fit", async () => {
    const { device, adapter } = await openDevice();
    const backend = await webGpuFactory(adapter, { device, cacheDtype: "f32" })(...sizesOf(sizes));
    expect(await backend.resizeCache(8)).toBe(true);
    const tensor = (mebibytes: number) => backend.createTensor("f32", [(mebibytes * MIB) / 4]);
    for (let i = 0; i < 3; i++)
      await expect(
        backend.allocate("data of a test", () => [
          tensor(100),
          backend.createPageTensor("u32", [8]),
          tensor(240),
        ]),
      ).rejects.toThrow(OutOfMemoryError);
    await backend.allocate("data of a test", () => tensor(100));
    expect(await backend.resizeCache(64)).toBe(true);
    await backend.finish();
    await backend.close();
    device.destroy();
  });

  it("costs the request that needs more of it, and no other", async () => {
    const { device, adapter } = await openDevice();
    const factory = webGpuFactory(adapter, { device, cacheDtype: "f32" });
    const engine = await openTiny(factory, {
      pool: { firstPages: 16 },
      changeTokens: (tokens) => tokens.fill(1),
    });
    const request = { tokenIds: [5, 40, 77], maxTokens: 40, temperature: 0 };
    await engine.generate(request).result();
    await fill(device, 100 * MIB);
    const large = { ...request, tokenIds: Array<number>(80).fill(5), maxTokens: 10 };
    await expect(engine.generate(large).result()).rejects.toThrow(OutOfPagesError);
    for (const attention of ["oracle-top-k:budget=16", "quest:budget=16"])
      expect((await engine.generate({ ...request, attention }).result()).tokenIds).toHaveLength(40);
    await engine.close();
    device.destroy();
  });
});
