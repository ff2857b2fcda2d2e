import { writeFileSync } from "node:fs";
import { Command } from "commander";
import { checkedOutRevision, reportRevision } from "../machine.ts";
import { markdownTable, runJson } from "../output.ts";
import { openBenchGpu } from "../webgpu/gpu.ts";
import { judgeReport } from "../webgpu/judgement.ts";
import { benchReport, reportPlan } from "../webgpu/report.ts";

interface Options {
  readonly out?: string;
  readonly quick?: true;
  readonly commit?: string;
  readonly allowDirty?: boolean;
}

export function reportCommand(): Command {
  return new Command("report")
    .description(
      "everything that the WebGPU backend is judged by, in one run: kernels by themselves; decode steps, prefill and jitter " +
        "through the engine; as a Markdown table of targets. They are set for an NVIDIA H200, where it takes some minutes. " +
        "It refuses a tree with changes",
    )
    .option("--out <file>", "write all figures as JSON")
    .option("--quick", "small shapes, to try it out; its figures say nothing about the targets")
    .option("--commit <hash>", "the commit that runs, where there is no git checkout")
    .option("--allow-dirty", "run with changes that no commit holds; the JSON says so")
    .action(async ({ out, quick, ...revisionOptions }: Options) => {
      const revision = reportRevision(checkedOutRevision(), revisionOptions);
      const gpu = await openBenchGpu();
      const plan = reportPlan(quick === true);
      const report = await benchReport(gpu, plan, (what) => process.stderr.write(`${what} …\n`));
      const targets = judgeReport(report, plan);
      if (out !== undefined) writeFileSync(out, runJson({ ...report, targets }, revision));
      const rows = targets.map(({ what, target, measured, met }) => ({ what, target, measured, met }));
      process.stdout.write(
        `${markdownTable(rows)}\nMeasured on ${report.gpu}, at ${revision.commit}${revision.isDirty ? " with changes" : ""}.\n`,
      );
    });
}
