/**
 * Compiles kernels for devices that no test machine has. Dawn's null backend compiles and validates every kernel and runs
 * none; it has every feature and the minimum limits of WebGPU.
 */
import { describe, expect, it } from "vitest";
import type { CacheDtype } from "../../src/backend/backend.ts";
import type { DeviceTraits } from "../../src/backend/webgpu/device-traits.ts";
import { KERNEL_SOURCES } from "../../src/backend/webgpu/kernel-sources.ts";
import { requestWebGpuDevice, webGpuFactory } from "../../src/backend/webgpu/open-webgpu.ts";
import { WebGpuBackend } from "../../src/backend/webgpu/webgpu-backend.ts";
import { QUANTISED_FORMATS } from "../../src/backend/webgpu/weight-rows.ts";
import { withAllPages } from "../../src/backend/with-all-pages.ts";
import { type Sizes, sizesOf } from "../sizes.ts";
import { checkKernels, type KernelCheck } from "./checked-device.ts";
import { type LayerFormats, recordEveryStep } from "./every-step.ts";
import { openNullGpu } from "./null-gpu.ts";

/** The minimum that WebGPU guarantees. */
const CORE: DeviceTraits = {
  minSubgroupSize: 0,
  maxSubgroupSize: 1,
  maxInvocations: 256,
  workgroupBytes: 16384,
  bindingBytes: 128 << 20,
  storageBuffers: 8,
  forwardProgress: undefined,
  isSoftware: false,
  hasF16: false,
  hasPackedDot: false,
  hasImmediates: false,
  subgroupMatrix: undefined,
};

const subgroups = (minSubgroupSize: number, maxSubgroupSize: number) => ({
  minSubgroupSize,
  maxSubgroupSize,
});

const KINDS: readonly (readonly [name: string, DeviceTraits])[] = [
  ["a browser without subgroups", CORE],
  [
    "subgroups of 4 to 128, as drivers report that do not know their size",
    { ...CORE, ...subgroups(4, 128), hasPackedDot: true, hasImmediates: true },
  ],
  ["subgroups of 64, and uniforms in place of immediates", { ...CORE, ...subgroups(64, 64), hasF16: true }],
];

/** Beyond the limits of the null device, which refuses some of these kernels. */
const LARGE: DeviceTraits = {
  ...CORE,
  ...subgroups(32, 32),
  maxInvocations: 1024,
  workgroupBytes: 49152,
  storageBuffers: 16,
  forwardProgress: "ordered-launch",
  hasF16: true,
  hasPackedDot: true,
  hasImmediates: true,
  subgroupMatrix: { m: 16, n: 16, k: 16 },
};

/** Matrices of other makers, in the 32 KiB that most devices have. */
const MATRICES: readonly (readonly [name: string, DeviceTraits])[] = [
  ["matrices of 16, subgroups of 32, 48 KiB", LARGE],
  ["matrices of 16, subgroups of 32, 32 KiB", { ...LARGE, workgroupBytes: 32768 }],
  [
    "matrices of 8 by 16, subgroups of 16, 32 KiB",
    { ...LARGE, ...subgroups(16, 16), workgroupBytes: 32768, subgroupMatrix: { m: 8, n: 16, k: 16 } },
  ],
  [
    "matrices of 8, subgroups of 8, 32 KiB",
    { ...LARGE, ...subgroups(8, 8), workgroupBytes: 32768, subgroupMatrix: { m: 8, n: 8, k: 8 } },
  ],
];

const CACHES = ["f16", "f32", "q8"] as const;
const EXPERTS = { numExperts: 9, topExperts: 3, intermediateSize: 96, isNormalised: true };

/** Odd and even sizes, the maximum query heads of a workgroup, the widest heads, layers of two kinds. */
const COMMON = { maxPages: 8, maxSequenceLength: 16384, maxBatchRows: 128, maxBatchSequences: 4 };
const SIZES: readonly Partial<Sizes>[] = [
  { ...COMMON, headDim: 128, numKvHeads: 2, numQueryHeads: 8, hiddenSize: 512, intermediateSize: 1024 },
  { ...COMMON, headDim: 6, numKvHeads: 2, numQueryHeads: 2, hiddenSize: 30, intermediateSize: 45 },
  { ...COMMON, headDim: 80, numKvHeads: 1, numQueryHeads: 5, hiddenSize: 400, vocabSize: 20000 },
  { ...COMMON, headDim: 256, numKvHeads: 1, numQueryHeads: 8, hiddenSize: 128, pageSize: 2 },
  {
    ...{ ...COMMON, headDim: 64, numKvHeads: 1, numQueryHeads: 3, hiddenSize: 512, intermediateSize: 1024 },
    ...{ numLayers: 2, numRopes: 2, layers: [{ rope: 0 }, { rope: 0, queryRope: 1, window: 100 }] },
    ...{ activation: "gelu_tanh", embeddingScale: 2, experts: EXPERTS },
  },
];

/** Whole blocks; one model whose rows are no whole strips of the kernels, without super-blocks. */
const QUANTISED: readonly (readonly [Partial<Sizes>, readonly LayerFormats[]])[] = [
  [
    { ...COMMON, headDim: 128, numKvHeads: 2, numQueryHeads: 4, hiddenSize: 512, intermediateSize: 1024 },
    [
      ...QUANTISED_FORMATS,
      { most: "q4_k", v: "q6_k", up: "q4_k", down: "q6_k" },
      { most: "q8_0", v: "f16", up: "q4_0", down: "bf16" },
      { most: "f16", v: "f16", up: "q4_0", down: "q4_1" },
    ],
  ],
  [
    { ...COMMON, headDim: 64, numKvHeads: 3, numQueryHeads: 9, hiddenSize: 576, intermediateSize: 1536 },
    ["q8_0", "q4_1"],
  ],
];

const { gpu, reason } = await openNullGpu();
if (reason !== undefined) console.warn(`compiling every kernel is skipped: ${reason}`);

interface Verdict {
  readonly checks: readonly KernelCheck[];
  /** The device's first error, for a kernel or a dispatch. */
  readonly refused: string | undefined;
}

const verdicts = new Map<DeviceTraits, Promise<Verdict>>();

/** Returns the null device's errors for the kernels and dispatches of a device with these traits. */
function compileAll(traits: DeviceTraits): Promise<Verdict> {
  const known = verdicts.get(traits) ?? askNullDevice(traits);
  verdicts.set(traits, known);
  return known;
}

async function askNullDevice(traits: DeviceTraits): Promise<Verdict> {
  const adapter = await gpu?.requestAdapter();
  if (!adapter) throw new Error("Dawn's null backend gave no adapter");
  const device = await requestWebGpuDevice(adapter);
  const { checks } = checkKernels(device);
  const isBrief = traits.subgroupMatrix !== undefined && traits !== LARGE;
  try {
    device.pushErrorScope("validation");
    const record = async (
      cacheDtype: CacheDtype,
      sizes: Partial<Sizes>,
      formats: readonly LayerFormats[],
    ): Promise<void> => {
      const open = withAllPages(webGpuFactory(adapter, { cacheDtype, traits, device }));
      const backend = await open(...sizesOf(sizes));
      if (!(backend instanceof WebGpuBackend)) throw new TypeError("webGpuFactory gave another backend");
      await recordEveryStep(backend, formats);
      await backend.close();
    };
    // kernels of weights are the same whatever the cache
    // and of other matrices only the tiles are new
    const [caches, all] = isBrief ? [["f16", "q8"] as const, SIZES.slice(0, 1)] : [CACHES, SIZES];
    for (const cacheDtype of caches)
      for (const sizes of all)
        await record(cacheDtype, sizes, cacheDtype === "q8" ? ["f16"] : ["f32", "f16", "bf16"]);
    for (const [sizes, formats] of QUANTISED)
      await record("f16", sizes, isBrief ? formats.slice(0, 1) : formats);
    return { checks: await checks(), refused: (await device.popErrorScope())?.message };
  } finally {
    device.destroy();
  }
}

it.skipIf(gpu === undefined).each(KINDS)(
  "%s: every kernel compiles and every dispatch is valid",
  async (_, traits) => {
    const { checks, refused } = await compileAll(traits);
    expect(complaints(checks, ({ textError, pipelineError }) => textError ?? pipelineError)).toEqual([]);
    expect(refused).toBeUndefined();
  },
);

describe.skipIf(gpu === undefined).each(MATRICES)("a large GPU with %s", (_, traits) => {
  it("every kernel compiles", async () => {
    const { checks } = await compileAll(traits);
    expect(complaints(checks, ({ textError }) => textError)).toEqual([]);
  });

  it("kernels that exceed the null device need at most what it has", async () => {
    const { checks } = await compileAll(traits);
    const refused = checks.filter(({ pipelineError }) => pipelineError !== undefined).map(fileOf);
    expect(refused).toEqual(
      expect.arrayContaining(["gemm-subgroup-matrix", "attend-subgroup-matrix", "select-top"]),
    );
    const asksTooMuch = ({ pipelineError = "" }: KernelCheck) => {
      const bytes = /use of workgroup storage \((\d+) bytes\)/.exec(pipelineError)?.[1] ?? 0;
      const invocations = /uses workgroup_size\((\d+), 1, 1\)/.exec(pipelineError)?.[1] ?? 0;
      const buffers = /number of storage buffers \((\d+)\)/.exec(pipelineError)?.[1] ?? 0;
      const isOther = Number(bytes) + Number(invocations) + Number(buffers) === 0;
      const isMore =
        Number(bytes) > traits.workgroupBytes ||
        Number(invocations) > traits.maxInvocations ||
        Number(buffers) > traits.storageBuffers;
      return pipelineError && (isOther || isMore) ? pipelineError : undefined;
    };
    expect(complaints(checks, asksTooMuch)).toEqual([]);
  });
});

describe.skipIf(gpu === undefined)("a large GPU with subgroup matrices", () => {
  it("its kernels and a browser's are all kernel files", async () => {
    const [{ checks }, { checks: others }] = [await compileAll(LARGE), await compileAll(CORE)];
    const files = Object.entries(KERNEL_SOURCES).flatMap(([file, text]) =>
      text.includes("@compute") ? [file] : [],
    );
    expect([...new Set([...checks, ...others].map(fileOf))].sort()).toEqual(files.sort());
  });
});

/** Lists the distinct errors of kernels, each with its first lines. */
function complaints(
  checks: readonly KernelCheck[],
  errorOf: (check: KernelCheck) => string | undefined,
): string[] {
  const lines = checks.flatMap((check) => {
    const error = errorOf(check);
    return error === undefined ? [] : [`${check.label}: ${error.split("\n").slice(0, 2).join(" ")}`];
  });
  return [...new Set(lines)];
}

/** Returns the file of a kernel, the first word of its label. */
function fileOf({ label }: KernelCheck): string {
  return label.split(" ")[0] ?? "";
}
