/** Everything that the WebGPU backend is judged by, measured in one run: kernels by themselves, all else through the engine. */

import type { ConcurrentOptions, ConcurrentRow } from "../concurrent.ts";
import type { JitterRow } from "../jitter.ts";
import { benchShapeConcurrent } from "./concurrent.ts";
import { type BatchedRequest, benchShapeDecode, type ShapeDecodeRow } from "./decode.ts";
import type { GpuFigure } from "./figure.ts";
import type { BenchGpu } from "./gpu.ts";
import { benchShapeJitter } from "./jitter.ts";
import { type KernelCase, kernelPlan } from "./kernel-case.ts";
import { benchWebGpuKernels } from "./kernels.ts";
import { measureReadBandwidth } from "./plain-read.ts";
import { benchShapePrefill, type ShapePrefillRow } from "./prefill.ts";
import { readShape } from "./shapes.ts";
import type { Dtypes } from "./step-work.ts";

export const F16: Dtypes = { dtype: "f16", cacheDtype: "f16" };

export interface ReportSizes {
  readonly kernels: KernelCase;
  readonly decode: {
    readonly shape: string;
    readonly contexts: readonly number[];
    readonly sparse: string;
    readonly steps: number;
    readonly rounds: number;
  };
  readonly batches: BatchPlan;
  readonly requests: RequestsPlan;
  readonly prefill: PrefillPlan;
  readonly jitter: JitterPlan;
  /** Shapes whose host time is judged beside GPU time, at the shortest context. */
  readonly hostShapes: readonly string[];
}

export interface BatchPlan {
  readonly shape: string;
  readonly context: number;
  /** Requests at once, ascending. */
  readonly sequences: readonly number[];
  readonly sparse: string;
  readonly mix: readonly BatchedRequest[];
  readonly steps: number;
  readonly rounds: number;
}

/** Requests that stream at once, beside bare steps. */
export interface RequestsPlan extends ConcurrentOptions {
  readonly shape: string;
}

export interface JitterPlan {
  readonly shapes: readonly string[];
  readonly context: number;
  readonly steps: number;
}

export interface PrefillPlan {
  readonly shape: string;
  readonly tokens: number;
  readonly rounds: number;
}

export interface Report {
  readonly gpu: string;
  /** GB/s of the plain read that decode steps are compared with. */
  readonly readBandwidth: number;
  readonly kernels: readonly GpuFigure[];
  readonly decode: readonly (ShapeDecodeRow & { readonly shape: string })[];
  /** Requests at once; the mix last. */
  readonly batches: readonly (ShapeDecodeRow & { readonly shape: string })[];
  /** Requests that stream at once, beside bare steps of as many sequences. */
  readonly requests: readonly (ConcurrentRow & { readonly shape: string })[];
  readonly prefill: readonly (ShapePrefillRow & { readonly shape: string })[];
  readonly jitter: readonly (JitterRow & { readonly shape: string })[];
}

export function reportPlan(isQuick: boolean): ReportSizes {
  const kernels = kernelPlan(isQuick, F16);
  const prefill = prefillPlan(isQuick);
  return isQuick
    ? {
        kernels,
        decode: {
          shape: "pico-reasoner",
          contexts: [256, 512],
          sparse: "less-is-more:budget=64",
          steps: 4,
          rounds: 2,
        },
        batches: {
          ...{ shape: "pico-reasoner", context: 128, sequences: [1, 2], steps: 2, rounds: 1 },
          ...{ sparse: "less-is-more:budget=64", mix: mixOf([64, 128], "less-is-more:budget=64") },
        },
        requests: {
          ...{ shape: "pico-reasoner", contexts: [128], sequences: [2], steps: 4, rounds: 1 },
          attention: ["full", "less-is-more:budget=64"],
        },
        jitter: { shapes: ["pico-reasoner"], context: 256, steps: 8 },
        prefill,
        hostShapes: [],
      }
    : {
        kernels,
        decode: {
          shape: "llama-3.1-8b",
          contexts: [16384, 32768, 65536, 131072],
          sparse: "less-is-more:budget=2048",
          steps: 32,
          rounds: 7,
        },
        batches: {
          ...{
            shape: "llama-3.1-8b",
            context: 8192,
            sequences: [1, 2, 4, 5, 8, 16, 32],
            steps: 16,
            rounds: 3,
          },
          sparse: "less-is-more:budget=1024",
          mix: mixOf([1024, 2048, 4096, 8192, 16384, 32768, 65536, 1024], "less-is-more:budget=1024"),
        },
        requests: {
          ...{ shape: "llama-3.1-8b", contexts: [8192], sequences: [32], steps: 64, rounds: 5 },
          attention: ["full", "less-is-more:budget=1024"],
        },
        jitter: { shapes: ["llama-3.1-8b", "qwen3-0.6b"], context: 16384, steps: 2000 },
        prefill,
        hostShapes: ["qwen3-8b", "qwen3-4b", "qwen3-1.7b", "qwen3-0.6b"],
      };
}

/** Requests of these contexts, every second one sparse. */
function mixOf(contexts: readonly number[], sparse: string): readonly BatchedRequest[] {
  return contexts.map((context, i) => ({ context, attention: i % 2 === 0 ? "full" : sparse }));
}

export function prefillPlan(isQuick: boolean): PrefillPlan {
  return isQuick
    ? { shape: "pico-reasoner", tokens: 32, rounds: 1 }
    : { shape: "qwen3-8b", tokens: 4096, rounds: 5 };
}

/** say: receives the name of each part before it runs. */
export async function benchReport(
  gpu: BenchGpu,
  plan: ReportSizes,
  say: (what: string) => void,
): Promise<Report> {
  say("kernels");
  const kernels = await benchWebGpuKernels(gpu, plan.kernels);
  say("plain read");
  const readBandwidth = await measureReadBandwidth(gpu);
  const { shape, contexts, sparse, steps, rounds } = plan.decode;
  const decodeOf = async (name: string, lengths: readonly number[]) => {
    say(`decode steps of ${name}`);
    const options = { ...F16, contexts: lengths, attention: ["full", sparse], steps, rounds, readBandwidth };
    const rows = await benchShapeDecode(gpu, readShape(name).config, options);
    return rows.map((row) => ({ shape: name, ...row }));
  };
  const decode = await decodeOf(shape, contexts);
  for (const name of plan.hostShapes) decode.push(...(await decodeOf(name, contexts.slice(0, 1))));
  say("batches");
  const batches = await benchBatches(gpu, plan.batches, readBandwidth);
  say("requests");
  const requests = await benchRequests(gpu, plan.requests);
  say("prefill");
  const prefill = await benchBothPrefills(gpu, plan.prefill);
  const jitter = [];
  for (const name of plan.jitter.shapes) {
    say(`jitter of ${name}`);
    const rows = ["full", sparse].map((attention) => ({
      context: plan.jitter.context,
      attention,
      steps: plan.jitter.steps,
    }));
    for (const row of await benchShapeJitter(gpu, readShape(name).config, { ...F16, rows }))
      jitter.push({ shape: name, ...row });
  }
  return { gpu: gpu.name, readBandwidth, kernels, decode, batches, requests, prefill, jitter };
}

/** Batches of requests that are alike, then the mix, on a model whose cache is as long as its longest request. */
async function benchBatches(
  gpu: BenchGpu,
  { shape, context, sequences, sparse, mix, steps, rounds }: BatchPlan,
  readBandwidth: number,
): Promise<Report["batches"]> {
  const { config } = readShape(shape);
  const options = { ...F16, steps, rounds, readBandwidth };
  const alike = { ...options, contexts: [context], attention: ["full", sparse], sequences };
  const rows = [
    ...(await benchShapeDecode(gpu, config, alike)),
    ...(await benchShapeDecode(gpu, config, { ...options, contexts: [], attention: [], mixes: [mix] })),
  ];
  return rows.map((row) => ({ shape, ...row }));
}

async function benchRequests(
  gpu: BenchGpu,
  { shape, ...options }: RequestsPlan,
): Promise<Report["requests"]> {
  const rows = await benchShapeConcurrent(gpu, readShape(shape).config, { ...F16, ...options });
  return rows.map((row) => ({ shape, ...row }));
}

/** Prefills one prompt with subgroup matrices and without. */
export async function benchBothPrefills(
  gpu: BenchGpu,
  { shape, tokens, rounds }: PrefillPlan,
): Promise<Report["prefill"]> {
  const rows: (ShapePrefillRow & { readonly shape: string })[] = [];
  for (const subgroupMatrices of [true, false]) {
    const options = { ...F16, tokens: [tokens], rounds, subgroupMatrices };
    const measured = await benchShapePrefill(gpu, readShape(shape).config, options);
    for (const row of measured) rows.push({ shape, ...row });
    if (measured.every((row) => row.subgroupMatrices === "not used")) break; // there are none
  }
  return rows;
}
