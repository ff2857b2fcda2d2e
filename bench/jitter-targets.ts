/** Targets of `bench jitter`, by shape, on an NVIDIA H200. */
import type { JitterRow } from "./jitter.ts";
import { atMost, type JudgedRow, judgedRow } from "./targets.ts";

interface JitterTargets {
  readonly p99OverMedian: number;
  readonly meanOverMedian: number;
  readonly hostMs: number;
}

/** A small model's steps are short, so a pause of the host weighs more. */
const BY_SHAPE: Readonly<Record<string, JitterTargets>> = {
  "llama-3.1-8b": { p99OverMedian: 1.2, meanOverMedian: 1.02, hostMs: 0.5 },
  "qwen3-0.6b": { p99OverMedian: 1.5, meanOverMedian: 1.05, hostMs: 0.4 },
};
const BYTES_PER_STEP = 20_000;
const CORE_SHARE = 0.5;

/** The targets of a shape beside a measured row; none where the shape has no targets. */
export function judgeJitter(shape: string, row: JitterRow): readonly JudgedRow[] {
  const targets = Object.hasOwn(BY_SHAPE, shape) ? BY_SHAPE[shape] : undefined;
  if (!targets) return [];
  const name = `${shape}, ${row.attention}, ${row.context}`;
  return [
    judgedRow(
      `p99 of a token, ${name}`,
      row.p99OverMedian,
      atMost(targets.p99OverMedian, "times the median"),
    ),
    judgedRow(
      `mean of a token, ${name}`,
      row.meanOverMedian,
      atMost(targets.meanOverMedian, "times the median"),
    ),
    ...(row.hostMs === undefined
      ? []
      : [judgedRow(`host time a step (mean), ${name}`, row.hostMs.mean, atMost(targets.hostMs, "ms"))]),
    judgedRow(`allocated a step, ${name}`, row.bytesPerStep, atMost(BYTES_PER_STEP, "bytes")),
    judgedRow(`processor time, ${name}`, row.coreShare, atMost(CORE_SHARE, "of a core")),
  ];
}
