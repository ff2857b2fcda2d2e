/** Judges the figures of a report by their targets. */

import { judgeJitter } from "../jitter-targets.ts";
import { type JudgedRow, judgedRow, TARGETS, type Target } from "../targets.ts";
import type { ShapeDecodeRow } from "./decode.ts";
import type { GpuFigure } from "./figure.ts";
import { denseName, selectionName, sparseName } from "./kernels-attention.ts";
import { ALL_PRODUCTS } from "./kernels-matrix.ts";
import type { ShapePrefillRow } from "./prefill.ts";
import type { Report, ReportSizes } from "./report.ts";

export function judgeReport(report: Report, plan: ReportSizes): readonly JudgedRow[] {
  return [
    ...judgeKernels(report.kernels, plan),
    ...judgeDecode(report.decode, plan),
    ...judgeBatches(report.batches, plan),
    ...judgeRequests(report.requests),
    ...judgePrefill(report.prefill),
    ...judgeHost(report.decode),
    ...report.jitter.flatMap((row) => judgeJitter(row.shape, row)),
  ];
}

/** The target of a prefill row, here and in `bench kernels`. */
export function prefillTarget({ subgroupMatrices }: ShapePrefillRow): Target {
  return subgroupMatrices === "used" ? TARGETS.prefill : TARGETS.prefillWithoutSubgroupMatrices;
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
    judgedRow(ALL_PRODUCTS, share(ALL_PRODUCTS), TARGETS.matrixVector),
    ...judged.map((context) =>
      judgedRow(denseName(context), share(denseName(context)), TARGETS.denseAttention),
    ),
    judgedRow(sparse, find(sparse).times ?? Number.NaN, TARGETS.sparseAttention),
    judgedRow(selection, find(selection).microseconds ?? Number.NaN, TARGETS.selection),
  ];
}

function judgeDecode(rows: Report["decode"], plan: ReportSizes): readonly JudgedRow[] {
  const { shape, contexts, sparse } = plan.decode;
  const find = (context: number, attention: string): ShapeDecodeRow => {
    const found = rows.find(
      (one) =>
        one.shape === shape && one.sequences === 1 && one.context === context && one.attention === attention,
    );
    if (!found) throw new RangeError(`no decode step of ${shape} at ${context} with ${attention}`);
    return found;
  };
  const pairs = contexts.map((context) => ({ full: find(context, "full"), sparse: find(context, sparse) }));
  const [first, last] = [pairs[0], pairs[pairs.length - 1]];
  if (!first || !last) throw new RangeError("a report needs a context");
  return [
    ...pairs.map(({ full }) =>
      judgedRow(`step of ${shape}, full attention, ${full.context}`, full.overRoofline, TARGETS.fullStep),
    ),
    ...pairs.map(({ full, sparse }) => {
      const speedup = full.msPerStep / sparse.msPerStep;
      const ceiling = full.rooflineMs / sparse.rooflineMs;
      return judgedRow(
        `${sparse.attention} over full, ${full.context}: ${speedup.toFixed(2)} of ${ceiling.toFixed(2)} times`,
        speedup / ceiling,
        TARGETS.speedup,
        // a speed-up over a slow step does not count
        TARGETS.fullStep.isMet(full.overRoofline),
      );
    }),
    judgedRow(
      `growth of the step with ${sparse} from ${first.sparse.context} to ${last.sparse.context}`,
      last.sparse.msPerStep / first.sparse.msPerStep,
      TARGETS.growth,
    ),
  ];
}

function judgeBatches(rows: Report["batches"], { batches }: ReportSizes): readonly JudgedRow[] {
  const of = (attention: string) => rows.filter((row) => row.attention === attention);
  const judged = (row: ShapeDecodeRow, target: Target) =>
    judgedRow(
      `step of ${batches.shape}, ${row.sequences} requests, ${row.attention}, ${row.context}`,
      row.overRoofline,
      target,
    );
  const [full, sparse] = [of("full"), of(batches.sparse)];
  const mixed = rows.filter((row) => !full.includes(row) && !sparse.includes(row));
  return [
    ...full.filter(({ sequences }) => sequences > 1).map((row) => judged(row, TARGETS.fullBatch)),
    ...sparse.filter(({ sequences }) => sequences > 1).map((row) => judged(row, TARGETS.sparseBatch)),
    ...mixed.map((row) => judged(row, TARGETS.mixedBatch)),
    ...[full, sparse].flatMap((group) =>
      group.slice(1).map((row, i) => {
        const fewer = group[i] as ShapeDecodeRow;
        return judgedRow(
          `tokens a second of ${row.sequences} requests over those of ${fewer.sequences}, ${row.attention}`,
          row.tokensPerSecond / fewer.tokensPerSecond,
          TARGETS.moreTokens,
        );
      }),
    ),
  ];
}

function judgeRequests(rows: Report["requests"]): readonly JudgedRow[] {
  return rows.map((row) =>
    judgedRow(
      `${row.sequences} streaming requests to ${row.shape} over bare steps, ${row.attention}, ${row.context}`,
      row.ofBare,
      TARGETS.requests,
    ),
  );
}

function judgePrefill(rows: Report["prefill"]): readonly JudgedRow[] {
  return rows.map((one) =>
    judgedRow(
      `prefill of ${one.shape}, ${one.tokens} tokens, subgroup matrices ${one.subgroupMatrices}`,
      one.teraflops,
      prefillTarget(one),
    ),
  );
}

/** Judges the largest share over attentions and contexts: sparse steps take less GPU time and more host time. */
function judgeHost(rows: Report["decode"]): readonly JudgedRow[] {
  return [...new Set(rows.map(({ shape }) => shape))].map((shape) => {
    const shares = rows.filter((one) => one.shape === shape).map(({ hostMs, gpuMs }) => hostMs / gpuMs);
    return judgedRow(`host time a step of ${shape}`, Math.max(...shares), TARGETS.hostTime);
  });
}
