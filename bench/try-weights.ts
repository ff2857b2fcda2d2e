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
  "512": { ...layer([2, 1, 1], [4, 1, 1], [2, 1, 1], [2, 1, 1]), layerThreads: 512 },
  "512 r4": { ...layer([4, 1, 1], [4, 1, 1], [4, 1, 1], [4, 1, 1]), layerThreads: 512, layerWorkgroups: 64 },
  "512 gate t2": { ...layer([2, 1, 1], [4, 1, 2], [2, 1, 1], [2, 1, 1]), layerThreads: 512 },
  "512 r2": { ...layer([2, 1, 1], [2, 1, 2], [2, 1, 1], [2, 1, 1]), layerThreads: 512 },
  "512 r2c2": { ...layer([2, 2, 1], [2, 2, 2], [2, 2, 1], [2, 2, 1]), layerThreads: 512 },
  "256 gate t1": layer([4, 1, 1], [4, 1, 1], [4, 1, 1], [4, 1, 1]),
  "256 r2 down": layer([2, 1, 1], [4, 1, 2], [2, 1, 1], [2, 1, 1]),
  "256 r4c2": layer([4, 2, 1], [4, 2, 2], [4, 2, 1], [4, 2, 1]),
  "256 14k": layer([4, 1, 1], [4, 1, 2], [4, 1, 1], [4, 1, 1], 14336),
  "256 r8 gate": layer([4, 1, 1], [8, 1, 1], [4, 1, 1], [4, 1, 1]),
  "1024": { ...layer([1, 1, 1], [2, 1, 1], [1, 1, 1], [1, 1, 1]), layerThreads: 1024 },
  "matvec r2": { matvecQuantised: { threads: 256, rows: 2, chunk: 1, turns: 2, bytes: 14336 } },
  "matvec t4": { matvecQuantised: { threads: 256, rows: 4, chunk: 1, turns: 4, bytes: 14336 } },
  "matvec r4c2": { matvecQuantised: { threads: 256, rows: 4, chunk: 2, turns: 2, bytes: 14336 } },
  "no packed dot": {},
};

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
    } catch (error) {
      console.log(dtype.padEnd(7), name.padEnd(18), String(error).slice(0, 300));
    }
  }
process.exit(0);
