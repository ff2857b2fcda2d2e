import { Command, InvalidArgumentError, Option } from "commander";
import type { Tuning } from "../../src/node/internal.ts";
import type { KernelFigure } from "../kernels/figure.ts";
import { benchWasmKernels } from "../kernels/wasm.ts";
import { cacheDtypesOption, dtypeOption, wholeNumber } from "../options.ts";
import { printRows } from "../output.ts";
import { judge } from "../targets.ts";
import type { GpuFigure } from "../webgpu/figure.ts";
import { openBenchGpu } from "../webgpu/gpu.ts";
import { prefillTarget } from "../webgpu/judgement.ts";
import { kernelPlan } from "../webgpu/kernel-case.ts";
import { benchWebGpuKernels, KERNEL_GROUPS, type KernelGroup } from "../webgpu/kernels.ts";
import { benchBothPrefills, prefillPlan } from "../webgpu/report.ts";
import type { Dtypes } from "../webgpu/step-work.ts";

interface Options {
  readonly backend: keyof typeof BENCHES;
  readonly threads?: number;
  readonly dtype: Dtypes["dtype"];
  readonly cacheDtype: readonly Dtypes["cacheDtype"][];
  readonly only?: KernelGroup;
  readonly tuning?: Partial<Tuning>;
  readonly quick?: true;
  readonly json?: true;
}

type FigureRow = Readonly<Record<string, string | number | undefined>>;

/** Kernel benchmarks by backend. A new one is a function and a row, with the options that only it has. */
const BENCHES = {
  wasm: { run: wasmFigures, options: ["threads"] },
  webgpu: { run: webGpuFigures, options: ["dtype", "cacheDtype", "only", "tuning", "quick"] },
} as const;

export function kernelsCommand(): Command {
  return new Command("kernels")
    .description(
      "single kernels against a plain read in the same run: of the CPU on one thread and on all, or of the GPU at the sizes of " +
        "llama-3.1-8b, with prefill of qwen3-8b, beside the targets for an NVIDIA H200",
    )
    .addOption(new Option("--backend <name>").choices(Object.keys(BENCHES)).default("wasm"))
    .option("--threads <n>", "wasm: threads, the caller's included", wholeNumber)
    .addOption(dtypeOption())
    .addOption(cacheDtypesOption())
    .addOption(
      new Option("--only <group>", "webgpu: one group of kernels, no prefill").choices(KERNEL_GROUPS),
    )
    .option("--tuning <size=n>", "webgpu: another size of attention's kernels; repeatable", collectSize)
    .option("--quick", "webgpu: small shapes, to try it out")
    .option("--json", "print one JSON object")
    .action(async (options: Options, command: Command) => {
      const { backend, json } = options;
      for (const [other, { options: names }] of Object.entries(BENCHES))
        for (const option of command.options)
          if (other !== backend && names.some((name) => name === option.attributeName()))
            if (command.getOptionValueSource(option.attributeName()) === "cli")
              command.error(`error: ${option.long} goes with --backend ${other}, not with ${backend}`);
      printRows(await BENCHES[backend].run(options), json === true);
    });
}

/** Sizes of attention's kernels (src/backend/webgpu/tuning.ts). */
const SIZES = [
  ...(["attendThreads", "attendTokens", "attendWorkgroups", "attendMinSplit"] as const),
  ...(["attendMatrixSubgroups"] as const),
  ...(["matrixKeys", "matrixSubgroups", "combineThreads"] as const),
] satisfies readonly (keyof Tuning)[];

function collectSize(text: string, previous: Partial<Tuning> = {}): Partial<Tuning> {
  const [name, size = ""] = text.split("=");
  const known = SIZES.find((one) => one === name);
  if (known === undefined) throw new InvalidArgumentError(`Expected one of ${SIZES.join(", ")} = n.`);
  return { ...previous, [known]: wholeNumber(size) };
}

async function wasmFigures({ threads }: Options): Promise<readonly FigureRow[]> {
  const figures: readonly KernelFigure[] = await benchWasmKernels(threads);
  return figures.map(({ name, ...rest }) => ({ kernel: name, ...rest }));
}

async function webGpuFigures({
  dtype,
  cacheDtype,
  only,
  tuning = {},
  quick,
}: Options): Promise<readonly FigureRow[]> {
  const gpu = await openBenchGpu();
  const isQuick = quick === true;
  const kernels: GpuFigure[] = [];
  for (const [i, one] of cacheDtype.entries()) {
    // products read no cache
    const groups = only ? [only] : i === 0 ? KERNEL_GROUPS : (["attention"] as const);
    const plan = { ...kernelPlan(isQuick, { dtype, cacheDtype: one }), tuning };
    kernels.push(...(await benchWebGpuKernels(gpu, plan, groups)));
  }
  const prefill = only ? [] : await benchBothPrefills(gpu, prefillPlan(isQuick));
  return [
    ...kernels.map((figure) => ({ ...figure })),
    ...prefill.map((row) => ({
      kernel: `prefill of ${row.shape}, ${row.tokens} tokens, subgroup matrices ${row.subgroupMatrices}`,
      microseconds: row.ms * 1000,
      teraflops: row.teraflops,
      ...judge(prefillTarget(row), row.teraflops),
    })),
  ];
}
