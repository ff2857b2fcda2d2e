import { expect, test } from "vitest";
import { describeMachine } from "../cli/commands/doctor.ts";
import { createWasmHost } from "../node/wasm-host.ts";
import { examineMachineWith, type MachineReport } from "./doctor.ts";

/** An adapter with sufficient limits that yields no device. */
function brokenGpu(description: string): GPU {
  const adapter = {
    info: {
      vendor: "acme",
      architecture: "one",
      device: "",
      description,
      subgroupMinSize: 32,
      subgroupMaxSize: 32,
    },
    features: new Set(["shader-f16", "subgroups"]),
    limits: {
      maxBufferSize: 2 ** 31,
      maxStorageBufferBindingSize: 2 ** 27,
      maxStorageBuffersPerShaderStage: 10,
      maxComputeInvocationsPerWorkgroup: 1024,
      maxComputeWorkgroupSizeX: 1024,
      maxComputeWorkgroupStorageSize: 32768,
    },
    requestDevice: async () => {
      throw new Error("the driver says no");
    },
  };
  return { requestAdapter: async () => adapter as unknown as GPUAdapter } as unknown as GPU;
}

const examine = (gpu: GPU): Promise<MachineReport> =>
  examineMachineWith({ wasm: createWasmHost(), openGpu: async () => gpu });
const describeIt = (report: MachineReport): string =>
  describeMachine({ node: "v1.2.3", platform: "linux-x64", cpu: "a CPU", ...report });

test("auto chooses a real GPU even if its self-test fails, and the machine is then not sound", async () => {
  const report = await examine(brokenGpu("Acme One"));
  expect(report.webgpu.adapters).toHaveLength(1);
  expect(report).toMatchObject({
    webgpu: {
      adapters: [
        {
          name: "Acme One",
          isSoftware: false,
          subgroupSizes: { min: 32, max: 32 },
          hasF16: true,
          hasSubgroupMatrices: false,
          features: ["shader-f16", "subgroups"],
          limits: { maxStorageBufferBindingSize: 2 ** 27 },
          selfTest: { isRight: false, problem: expect.stringContaining("the driver says no") },
        },
      ],
    },
    auto: { backend: "webgpu", why: "auto: a GPU is there" },
    isSound: false,
  });
  const text = describeIt(report);
  expect(text).toContain("  buffers      2 GiB each, 128 MiB bound at once, 10 in a kernel\n");
  expect(text).toContain("  subgroups    of 32\n");
  expect(text).toContain("  self-test    not run: ");
  expect(text.endsWith("\nauto           webgpu: a GPU is there\n")).toBe(true);
});

test("a software adapter is named as such, and its failures do not count", async () => {
  const report = await examine(brokenGpu("llvmpipe (LLVM 15)"));
  expect(report).toMatchObject({
    webgpu: { adapters: [{ isSoftware: true, selfTest: { isRight: false } }] },
    auto: { backend: "wasm" },
    isSound: true,
  });
  expect(describeIt(report)).toContain(
    "webgpu         llvmpipe (LLVM 15) (computes on the CPU: for tests only)\n",
  );
});

test("the CPU is examined without an adapter too: threads, build, every op", async () => {
  const report = await examine({ requestAdapter: async () => null } as unknown as GPU);
  expect(report).toMatchObject({
    wasm: { threads: createWasmHost().maxThreads, selfTest: { isRight: true } },
    webgpu: { adapters: [], problem: expect.stringContaining("no adapter") },
    auto: { backend: "wasm" },
    isSound: true,
  });
  expect(report.wasm.build).toMatch(/^(simd|relaxed)-(threads|single)$/);
  const text = describeIt(report);
  expect(text).toMatch(/self-test {4}all 40 ops right, 0\.\d+ s\n/);
  expect(text).toMatch(/ {2}advance, decode {12}\d\.\de-\d\n/);
  expect(Math.max(...text.split("\n").map((line) => line.length))).toBeLessThan(120);
});

test("wrong ops are marked", async () => {
  const { wasm, ...rest } = await examine({ requestAdapter: async () => null } as unknown as GPU);
  if (!("rows" in wasm.selfTest)) throw new Error("the self-test did not run");
  const rows = wasm.selfTest.rows.map((row) =>
    row.op === "expandSelection" ? { ...row, error: 2, isRight: false } : row,
  );
  const text = describeIt({ ...rest, wasm: { ...wasm, selfTest: { ...wasm.selfTest, rows } } });
  expect(text).toContain("1 of 40 ops WRONG");
  expect(text).toMatch(/ {2}expandSelection {12}2 WRONG\n/);
});
