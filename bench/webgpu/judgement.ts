/** The targets beside what a report measured. */

import type { ShapeDecodeRow } from "./decode.ts";
import type { GpuFigure } from "./figure.ts";
import { denseName, selectionName, sparseName } from "./kernels-attention.ts";
import { ALL_PRODUCTS } from "./kernels-matrix.ts";
import type { ShapePrefillRow } from "./prefill.ts";
import type { Report, ReportSizes } from "./report.ts";
import { judge, TARGETS, type Target, type Verdict } from "./targets.ts";

export interface JudgedRow extends Verdict {
  readonly what: string;
  readonly measured: number;
}

function row(what: string, measured: number, target: Target, condition = true): JudgedRow {
  const { target: text, met } = judge(target, measured, condition);
  return { what, target: text, measured, met };
}

export function judgeReport(report: Report, plan: ReportSizes): readonly JudgedRow[] {
  return [
    ...judgeKernels(report.kernels, plan),
    ...judgeDecode(report.decode, plan),
    ...judgePrefill(report.prefill),
    ...judgeHost(report.decode),
  ];
}

/** What `bench prefill` and `bench kernels` say of the same rows. */
export function prefillTarget({ matrixUnits }: ShapePrefillRow): Target {
  return matrixUnits === "used" ? TARGETS.prefill : TARGETS.prefillWithoutMatrixUnits;
}

function judgeKernels(figures: readonly GpuFigure[], plan: ReportSizes): readonly JudgedRow[] {
  const { contexts, selectionContext, budget } = plan.kernels;
  const find = (kernel: string): GpuFigure => {
    const found = figures.find((figure) => figure.kernel === kernel);
    if (!found) throw new RangeError(`the kernel benchmarks have no figure "${kernel}"`);
    return found;
  };
  const share = (kernel: string) => find(kernel).shareOfRead ?? Number.NaN;
  const judged = [...new Set([selectionContext, Math.max(...contexts)])];
  const selection = selectionName(budget, selectionContext);
  const sparse = sparseName(budget, selectionContext);
  return [
    row(ALL_PRODUCTS, share(ALL_PRODUCTS), TARGETS.matrixVector),
    ...judged.map((context) => row(denseName(context), share(denseName(context)), TARGETS.denseAttention)),
    row(sparse, find(sparse).times ?? Number.NaN, TARGETS.sparseAttention),
    row(selection, find(selection).microseconds ?? Number.NaN, TARGETS.selection),
  ];
}

function judgeDecode(rows: Report["decode"], plan: ReportSizes): readonly JudgedRow[] {
  const { shape, contexts, sparse } = plan.decode;
  const find = (context: number, attention: string): ShapeDecodeRow => {
    const found = rows.find(
      (one) => one.shape === shape && one.context === context && one.attention === attention,
    );
    if (!found) throw new RangeError(`no decode step of ${shape} at ${context} with ${attention}`);
    return found;
  };
  const pairs = contexts.map((context) => ({ full: find(context, "full"), sparse: find(context, sparse) }));
  const [first, last] = [pairs[0], pairs[pairs.length - 1]];
  if (!first || !last) throw new RangeError("a report needs a context");
  return [
    ...pairs.map(({ full }) =>
      row(`step of ${shape}, full attention, ${full.context}`, full.overRoofline, TARGETS.fullStep),
    ),
    ...pairs.map(({ full, sparse }) => {
      const speedup = full.msPerStep / sparse.msPerStep;
      const ceiling = full.rooflineMs / sparse.rooflineMs;
      return row(
        `${sparse.attention} over full, ${full.context}: ${speedup.toFixed(2)} of ${ceiling.toFixed(2)} times`,
        speedup / ceiling,
        TARGETS.speedup,
        // a speed-up over a slow step counts for nothing
        TARGETS.fullStep.isMet(full.overRoofline),
      );
    }),
    row(
      `growth of the step with ${sparse} from ${first.sparse.context} to ${last.sparse.context}`,
      last.sparse.msPerStep / first.sparse.msPerStep,
      TARGETS.growth,
    ),
  ];
}

function judgePrefill(rows: Report["prefill"]): readonly JudgedRow[] {
  return rows.map((one) =>
    row(
      `prefill of ${one.shape}, ${one.tokens} tokens, matrix units ${one.matrixUnits}`,
      one.teraflops,
      prefillTarget(one),
    ),
  );
}

/** The largest share over attentions and contexts: sparse steps take the GPU less time and the host more. */
function judgeHost(rows: Report["decode"]): readonly JudgedRow[] {
  return [...new Set(rows.map(({ shape }) => shape))].map((shape) => {
    const shares = rows.filter((one) => one.shape === shape).map(({ hostMs, gpuMs }) => hostMs / gpuMs);
    return row(`host time a step of ${shape}`, Math.max(...shares), TARGETS.hostTime);
  });
}
