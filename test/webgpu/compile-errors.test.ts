/** A kernel that does not compile, or is not given what it declares, says so by name, line and text. */
import { describe, expect, it, vi } from "vitest";
import { Buffers } from "../../src/backend/webgpu/buffers.ts";
import type { DeviceTraits } from "../../src/backend/webgpu/device-traits.ts";
import { DeviceWatch } from "../../src/backend/webgpu/device-watch.ts";
import type { Kernel } from "../../src/backend/webgpu/kernel-compiler.ts";
import type { Bindings, Params } from "../../src/backend/webgpu/kernel-params.ts";
import { Recorder } from "../../src/backend/webgpu/recorder.ts";
import { assembleTexts } from "../../src/backend/webgpu/shader.ts";
import { BackendError } from "../../src/base/errors.ts";
import { webgpuForTests } from "./environment.ts";
import { openNullGpu } from "./null-gpu.ts";

const TRAITS: DeviceTraits = {
  ...{ minSubgroupSize: 0, maxSubgroupSize: 1, maxInvocations: 256, workgroupBytes: 16384 },
  ...{ bindingBytes: 128 << 20, storageBuffers: 8, forwardProgress: undefined, isSoftware: true },
  ...{ hasF16: false, hasPackedDot: false, hasImmediates: false, subgroupMatrix: undefined },
};

const RIGHT = `struct Pair {
  c: u32,
  d: f32,
}
struct Params {
  a: u32,
  b: i32,
}
var<uniform> params: Params;
var<storage, read> x: array<f32>;
var<storage, read_write> out: array<f32>;
override N: u32;
@compute @workgroup_size(1)
fn main() {
  var sum = f32(params.a) + f32(params.b);
  /* unroll */ for (var i = 0u; i < N; i++) {
    sum += x[i];
  }
  out[0] = sum;
}`;
const BROKEN = RIGHT.replace("sum += x[i];", "sum += y[i];");
const TOO_WIDE = RIGHT.replace("@workgroup_size(1)", "@workgroup_size(100000)");

let numKernels = 1000;

/** A kernel whose text is not of this project's files. */
function kernelOf(text: string): Kernel {
  const constants = { N: 2 };
  const shader = assembleTexts({ "test.wgsl": text }, { constants, hasImmediates: false });
  return { id: numKernels++, label: "test", constants, shader, pipeline: undefined, compiling: undefined };
}

const nullGpu = await openNullGpu();
const realGpu = await webgpuForTests();
const GPUS: readonly (readonly [string, GPU | undefined])[] = [
  ["Dawn's null backend", nullGpu.gpu],
  ["the GPU of the tests", realGpu.gpu],
];

describe.each(GPUS)("on %s", (_, gpu) => {
  async function withRecorder(
    use: (recorder: Recorder, watch: DeviceWatch) => Promise<void> | void,
  ): Promise<void> {
    const device = await (await gpu?.requestAdapter())?.requestDevice();
    if (!device) throw new Error("no device");
    const watch = new DeviceWatch(device);
    try {
      await use(new Recorder(device, new Buffers(device), watch, TRAITS), watch);
    } finally {
      watch.close();
      device.destroy();
    }
  }

  const dispatch = (recorder: Recorder, kernel: Kernel) =>
    recorder.dispatch({
      category: "rest",
      kernel,
      params: { a: 1, b: -1 },
      bindings: { x: "unused", out: "unused" },
      grid: [1],
    });

  it.skipIf(gpu === undefined).each([
    [
      "a text that is wrong",
      BROKEN,
      /^backend webgpu: kernel test does not compile on this device: test\.wgsl:17: .*'?y'?.*\n {2}sum \+= y\[i\];/,
    ],
    ["a workgroup that is too wide", TOO_WIDE, /workgroup_size\(100000/],
  ])("%s fails whoever prepares it, with file, line, text and constants", async (_name, text, message) => {
    await withRecorder(async (recorder, watch) => {
      const preparing = recorder.prepare(() => dispatch(recorder, kernelOf(text)));
      await expect(preparing).rejects.toThrow(BackendError);
      await expect(preparing).rejects.toThrow(message);
      await expect(preparing).rejects.toThrow("with N=2; use the wasm backend");
      expect(watch.hasFailed).toBe(false);
    });
  });

  it.skipIf(gpu === undefined)("and where nobody prepared it, whoever waits for the device", async () => {
    await withRecorder(async (recorder) => {
      dispatch(recorder, kernelOf(BROKEN));
      recorder.submit();
      const said = /kernel test does not compile on this device: test\.wgsl:17: /;
      await vi.waitFor(() => expect(() => recorder.check()).toThrow(said), { timeout: 10_000 });
    });
  });

  it.skipIf(gpu === undefined)("a kernel compiles once, ahead or when it is dispatched", async () => {
    await withRecorder(async (recorder) => {
      const [ahead, late] = [kernelOf(RIGHT), kernelOf(RIGHT)];
      await recorder.prepare(() => dispatch(recorder, ahead));
      expect(recorder.dispatches).toBe(0);
      expect(ahead.pipeline).toBeDefined();
      for (const kernel of [ahead, late, ahead, late]) dispatch(recorder, kernel);
      expect(recorder.compiler.stalls).toEqual(["test"]);
      expect(recorder.dispatches).toBe(4);
      recorder.submit();
      await recorder.finish("the dispatches");
    });
  });
});

describe.skipIf(nullGpu.gpu === undefined)("inputs of a dispatch", () => {
  const NESTED = RIGHT.replace("b: i32,", "b: i32,\n  pair: Pair,");
  const given = { params: { a: 1, b: 2 }, bindings: { x: "unused", out: "unused" } } as const;

  it.each<[string, { params?: Params; bindings?: Bindings; text?: string }, string]>([
    ["a parameter is missing", { params: { a: 1 } }, "parameter b is missing; it takes a, b, x, out"],
    ["a parameter is unknown", { params: { ...given.params, c: 1 } }, "there is no parameter c"],
    ["a parameter is no u32", { params: { a: -1, b: 2 } }, "parameter a: expected u32, got -1"],
    ["a parameter is a fraction", { params: { a: 0.5, b: 2 } }, "parameter a: expected u32, got 0.5"],
    ["a parameter is no i32", { params: { a: 1, b: 2 ** 31 } }, "parameter b: expected i32, got 2147483648"],
    [
      "a struct is a number",
      { params: { ...given.params, pair: 1 }, text: NESTED },
      "parameter pair: expected a struct, got 1",
    ],
    [
      "a field of a struct is missing",
      { params: { ...given.params, pair: { c: 1 } }, text: NESTED },
      "parameter d is missing",
    ],
    [
      "a number is NaN",
      { params: { ...given.params, pair: { c: 1, d: Number.NaN } }, text: NESTED },
      "parameter d: expected f32, got NaN",
    ],
    ["a binding is missing", { bindings: { x: "unused" } }, "binding out is missing"],
    ["a binding is unknown", { bindings: { ...given.bindings, y: "unused" } }, "there is no binding y"],
    ["a binding has no buffer", { bindings: { x: "unused", out: undefined } }, "binding out has no buffer"],
  ])("%s: the error names the kernel and the field", async (_, { text = RIGHT, ...inputs }, message) => {
    const device = await (await nullGpu.gpu?.requestAdapter())?.requestDevice();
    if (!device) throw new Error("Dawn's null backend gave no device");
    const watch = new DeviceWatch(device);
    const recorder = new Recorder(device, new Buffers(device), watch, TRAITS);
    const wrong = () =>
      recorder.dispatch({ category: "rest", kernel: kernelOf(text), ...given, ...inputs, grid: [1] });
    expect(wrong).toThrow(BackendError);
    expect(wrong).toThrow(`backend webgpu: kernel test: ${message}`);
    watch.close();
    device.destroy();
  });
});
