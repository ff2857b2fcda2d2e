/** Prefill chunks depend on time and on other requests; their boundaries must not change any bit. */
import { describe, expect, test } from "vitest";
import type { BackendFactory } from "../../src/backend/backend.ts";
import { isSoftwareAdapter } from "../../src/backend/software-adapter.ts";
import { requestWebGpuDevice, webGpuFactory } from "../../src/backend/webgpu/open-webgpu.ts";
import { openFileFolder } from "../../src/node/file-folder.ts";
import { BACKENDS } from "../conformance/backend-table.ts";
import { repositoryPath } from "../golden/open-fixture.ts";
import { webgpuForTests } from "../webgpu/environment.ts";
import { openTiny, type TinyOptions } from "./tiny-engine.ts";

/** Returns the logits of a prompt in chunks of limited rows. */
async function logitsOf(open: BackendFactory, length: number, options: TinyOptions): Promise<Float32Array> {
  const tokens = Array.from({ length }, (_, i) => 3 + ((i * 53) % 300));
  const engine = await openTiny(open, options);
  try {
    await engine.logits(tokens); // these times size the next chunks
    return await engine.logits(tokens);
  } finally {
    await engine.close();
  }
}

const onCpu = BACKENDS.filter(({ name }) => !name.startsWith("webgpu"));

test.each(onCpu)("$name: logits of a prompt have the same bits for every chunk size", async ({ open }) => {
  for (const length of [17, 43, 95]) {
    const all: Float32Array[] = [];
    for (const maxBatchRows of [128, 16, 40])
      all.push(await logitsOf(open, length, { sizes: { maxBatchRows } }));
    for (const logits of all) expect(logits).toEqual(all[0]);
  }
});

const { gpu, reason } = await webgpuForTests();

// the defaults: 16-bit weights, f16 cache, subgroup matrices if the device has them
describe.skipIf(gpu === undefined)(`webgpu${reason === undefined ? "" : ` (${reason})`}`, () => {
  test("logits of a prompt have the same bits for every chunk size", async () => {
    const adapter = await gpu?.requestAdapter();
    if (!adapter) throw new Error("WebGPU had an adapter and has none now");
    const device = await requestWebGpuDevice(adapter);
    const open = webGpuFactory(adapter, { device });
    const folder = await openFileFolder(repositoryPath("test/golden/hf/qwen3-untied"));
    const isSlow = isSoftwareAdapter(adapter.info);
    const length = isSlow ? 43 : 700;
    const all: Float32Array[] = [];
    for (const rows of isSlow ? [64, 16] : [1024, 256, 72, 24, 16]) {
      const sizes = { maxPages: 200, maxSequenceLength: 768, maxBatchRows: rows };
      all.push(await logitsOf(open, length, { folder, sizes }));
    }
    for (const logits of all) expect(logits).toEqual(all[0]);
    device.destroy();
  }, 120_000);
});
