/** Targets of the WebGPU backend on an NVIDIA H200, f16. */

export interface Target {
  readonly text: string;
  readonly isMet: (measured: number) => boolean;
}

/** A target and whether it is met, as rows show them. */
export interface Verdict {
  readonly target: string;
  readonly met: "met" | "missed";
}

/** A measured value beside its target. */
export interface JudgedRow extends Verdict {
  readonly what: string;
  readonly measured: number;
}

const atLeast = (bound: number, of: string): Target => ({
  text: `at least ${bound} ${of}`,
  isMet: (measured) => measured >= bound,
});
export const atMost = (bound: number, of: string): Target => ({
  text: `at most ${bound} ${of}`,
  isMet: (measured) => measured <= bound,
});

export const TARGETS = {
  matrixVector: atLeast(0.8, "of the plain read"),
  denseAttention: atLeast(0.85, "of the plain read"),
  sparseAttention: atMost(1.5, "of dense attention over as many"),
  selection: atMost(60, "µs"),
  fullStep: atMost(1.25, "of the byte roofline"),
  fullBatch: atMost(1.3, "of the byte roofline"),
  sparseBatch: atMost(1.5, "of the byte roofline"),
  mixedBatch: atMost(1.5, "of the byte roofline"),
  moreTokens: { text: "more than 1 times", isMet: (measured: number) => measured > 1 },
  speedup: atLeast(0.95, "of the ratio of the byte rooflines"),
  growth: atMost(1.25, "times"),
  prefill: atLeast(250, "TFLOP/s"),
  prefillWithoutSubgroupMatrices: atLeast(25, "TFLOP/s"),
  requests: atLeast(0.92, "of the tokens a second of bare steps"),
  hostTime: { text: "less than 1 of GPU time", isMet: (measured: number) => measured < 1 },
} as const satisfies Readonly<Record<string, Target>>;

/** condition: false where something else voids the figure. */
export function judge(target: Target, measured: number, condition = true): Verdict {
  return { target: target.text, met: condition && target.isMet(measured) ? "met" : "missed" };
}

export function judgedRow(what: string, measured: number, target: Target, condition = true): JudgedRow {
  const { target: text, met } = judge(target, measured, condition);
  return { what, target: text, measured, met };
}
