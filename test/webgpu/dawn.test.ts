import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { isSoftwareAdapter } from "../../src/backend/software-adapter.ts";
import { webgpuForTests } from "./environment.ts";
import { sumWithSubgroups } from "./subgroup-sum.ts";

const { gpu } = await webgpuForTests();

describe.skipIf(gpu === undefined)("Dawn", () => {
  it("sums 64 lanes by subgroups and times the pass", async () => {
    const { sum, elapsedNs } = await sumWithSubgroups(gpu);
    expect(sum).toBe((64 * 65) / 2);
    expect(elapsedNs).toBeGreaterThan(0n);
    expect(elapsedNs).toBeLessThan(10_000_000_000n);
  });

  it("is recognised as a software adapter on SwiftShader", async () => {
    const info = (await gpu?.requestAdapter())?.info;
    const isSwiftShader = process.env.VK_DRIVER_FILES?.includes("swiftshader") ?? false;
    if (!isSwiftShader) return;
    expect(info && isSoftwareAdapter(info)).toBe(true);
  });

  it("lets a process exit by itself with 0 after it destroyed its device", () => {
    const script = fileURLToPath(new URL("../../dist/test/webgpu/exit-main.js", import.meta.url));
    const { status, signal, stdout, stderr } = spawnSync(process.execPath, [script], {
      encoding: "utf8",
      timeout: 30_000,
    });
    expect({ status, signal, stdout: stdout.trim() }, stderr).toEqual({
      status: 0,
      signal: null,
      stdout: "2080",
    });
  });
});

describe("isSoftwareAdapter", () => {
  it("is false for a graphics card and true for lavapipe", () => {
    const card = { architecture: "ampere", device: "", description: "NVIDIA A100", isFallbackAdapter: false };
    expect(isSoftwareAdapter(card as GPUAdapterInfo)).toBe(false);
    expect(isSoftwareAdapter({ ...card, description: "llvmpipe (LLVM 15)" } as GPUAdapterInfo)).toBe(true);
    expect(isSoftwareAdapter({ ...card, isFallbackAdapter: true } as GPUAdapterInfo)).toBe(true);
  });
});
