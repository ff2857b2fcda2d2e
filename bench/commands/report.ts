import { writeFileSync } from "node:fs";
import { Command } from "commander";
import { markdownTable, runJson } from "../output.ts";
import { openBenchGpu } from "../webgpu/gpu.ts";
import { judgeReport } from "../webgpu/judgement.ts";
import { benchReport, reportPlan } from "../webgpu/report.ts";

export function reportCommand(): Command {
  return new Command("report")
    .description(
      "everything that the WebGPU backend is judged by, in one run: kernels, decode steps and prefill on the GPU, as a " +
        "Markdown table of targets. They are set for an NVIDIA H200, where it takes some minutes",
    )
    .option("--out <file>", "write all figures as JSON")
    .option("--quick", "small shapes, to try it out; its figures say nothing about the targets")
    .action(async ({ out, quick }: { out?: string; quick?: true }) => {
      const gpu = await openBenchGpu();
      const plan = reportPlan(quick === true);
      const report = await benchReport(gpu, plan, (what) => process.stderr.write(`${what} …\n`));
      const targets = judgeReport(report, plan);
      if (out !== undefined) writeFileSync(out, runJson({ ...report, targets }));
      const rows = targets.map(({ what, target, measured, met }) => ({ what, target, measured, met }));
      process.stdout.write(`${markdownTable(rows)}\nMeasured on ${report.gpu}.\n`);
    });
}
