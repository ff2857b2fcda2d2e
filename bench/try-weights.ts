/** Tries sizes of the kernels with quantised weights on a GPU. */
import { profile, type WebGpuOptions } from "../src/node/internal.ts";
import { openDeviceModel } from "./webgpu/device-model.ts";
import { DeviceStepper } from "./webgpu/device-stepper.ts";
import { openBenchGpu } from "./webgpu/gpu.ts";
import { measureReadBandwidth } from "./webgpu/plain-read.ts";
import { readShape } from "./webgpu/shapes.ts";
import { stepBytes } from "./webgpu/step-work.ts";
import type { WeightMix } from "./webgpu/weight-mix.ts";

const q = (rows: number, chunk: number, turns: number) => ({ rows, chunk, turns });
const layer = (
  o: readonly [number, number, number],
  gateUp: readonly [number, number, number],
  down: readonly [number, number, number],
  input: readonly [number, number, number],
  bytes = 28672,
): WebGpuOptions["tuning"] => ({
  layerQuantised: { o: q(...o), gateUp: q(...gateUp), down: q(...down), input: q(...input), bytes },
});

const VARIANTS: Record<string, WebGpuOptions["tuning"]> = JSON.parse(process.argv[3] ?? "{}");
Object.assign(VARIANTS, {
  base: {},
});
const NAMED: Record<string, WebGpuOptions["tuning"]> = {
  base: {},
  "512 t2": { ...layer([2, 1, 1], [4, 1, 2], [2, 1, 1], [2, 1, 1], 14336), layerThreads: 512 },
  "512 r2 t4": { ...layer([2, 1, 1], [2, 1, 4], [2, 1, 1], [2, 1, 1], 14336), layerThreads: 512 },
  "512 t2 28k": { ...layer([2, 1, 1], [4, 1, 2], [2, 1, 1], [2, 1, 1]), layerThreads: 512 },
  "256 t4": layer([4, 1, 1], [4, 1, 4], [4, 1, 1], [4, 1, 1], 14336),
  "256 t1": layer([4, 1, 1], [4, 1, 1], [4, 1, 1], [4, 1, 1], 14336),
  "256 r4c2": layer([4, 2, 1], [4, 2, 2], [4, 2, 1], [4, 2, 1], 14336),
  "256 r2 t4": layer([2, 1, 2], [2, 1, 4], [2, 1, 2], [2, 1, 2], 14336),
  "no waits": {},
  "no maths": {},
  "no digits": {},
  "no waits, no maths": {},
  "256 r8": layer([4, 1, 1], [8, 1, 1], [4, 1, 1], [4, 1, 1], 14336),
};

/** Texts that a variant replaces: wrong results, for timing alone. */
const NO_WAITS = ["layer-mailbox", "1000000u", "0u"] as const;
const NO_MATHS = [
  "dot-q4_0",
  "let whole =",
  "return sum + bitcast<f32>((w.quants.x ^ w.quants.y ^ w.quants.z ^ w.quants.w ^ x.words[0].x) & 0x007fffffu) * x.scale * half_of(w.scales, p);\n  let whole =",
] as const;
const NO_DIGITS = ["quants", "let words = digits_of_four(n);", "let words = n.xyz;"] as const;
const PATCHES: Record<string, readonly (readonly [string, string, string])[]> = {
  "no waits": [NO_WAITS],
  "no maths": [NO_MATHS],
  "no digits": [NO_DIGITS],
  "no waits, no maths": [NO_WAITS, NO_MATHS],
};
const file = new URL("../src/backend/webgpu/kernel-sources.js", import.meta.url).href;
const SOURCES = ((await import(file)) as { KERNEL_SOURCES: Record<string, string> }).KERNEL_SOURCES;

const formats = (process.argv[2] ?? "f16,q8_0,q4_0").split(",") as WeightMix[];
const context = 16384;
const gpu = await openBenchGpu();
const { config } = readShape(process.env.SHAPE ?? "llama-3.1-8b");
const readBandwidth = await measureReadBandwidth(gpu);
console.log(gpu.name, `${readBandwidth.toFixed(0)} GB/s`);
const only = process.env.ONLY?.split(";");
for (const dtype of formats)
  for (const [name, tuning] of Object.entries({ ...NAMED, ...VARIANTS })) {
    if (only && !only.includes(name)) continue;
    if (dtype === "f16" && name !== "base") continue;
    const started = performance.now();
    const kept = { ...SOURCES };
    for (const [file, from, to] of PATCHES[name] ?? [])
      SOURCES[file] = (SOURCES[file] ?? "").replace(from, to);
    try {
      const model = await openDeviceModel(gpu, config, {
        ...{ context: context + 64, rows: 1, dtype, cacheDtype: "f16" as const },
        ...(tuning && { tuning }),
        ...(name === "no packed dot" && { traits: { hasPackedDot: false } }),
      });
      const stepper = new DeviceStepper(model);
      const policy = stepper.policy("full");
      const one = () => stepper.recordStep(context, policy);
      for (let i = 0; i < 20; i++) {
        one();
        await model.backend.finish();
      }
      const all: number[] = [];
      for (let i = 0; i < 25; i++) {
        one();
        all.push((await profile(stepper.backend, one, "all")).all ?? Number.NaN);
      }
      all.sort((a, b) => a - b);
      await profile(stepper.backend, one, "kernel");
      const kernels = await profile(stepper.backend, one, "kernel");
      const roofline =
        stepBytes(config, { dtype, cacheDtype: "f16" }, { policy, model: stepper.model, length: context }) /
        readBandwidth /
        1e6;
      const ms = all[12] as number;
      console.log(
        dtype.padEnd(7),
        name.padEnd(18),
        `step ${ms.toFixed(3)} ms (p10 ${all[2]?.toFixed(3)}), of roofline ${(ms / roofline).toFixed(2)};`,
        Object.entries(kernels)
          .filter(([kernel, time]) => kernel !== "all" && time > 0.02)
          .map(([kernel, time]) => `${kernel} ${time.toFixed(3)}`)
          .join(", "),
        `(${((performance.now() - started) / 1000).toFixed(1)} s)`,
      );
      await model.backend.close();
      Object.assign(SOURCES, kept);
    } catch (error) {
      console.log(dtype.padEnd(7), name.padEnd(18), String(error).slice(0, 300));
    }
  }
process.exit(0);
