/** Compares our report with a peer's, row by row where both have the row. */
import { readFileSync } from "node:fs";

export interface ComparedRow {
  readonly what: string;
  readonly unit: "µs" | "ms";
  readonly ours: number;
  readonly theirs: number;
  /** Ours over theirs: below 1 ours is faster. */
  readonly times: number;
}

/** The fields of both reports. */
interface Measured {
  readonly gpu: string;
  readonly peer?: string;
  readonly kernels: readonly { readonly kernel: string; readonly microseconds?: number }[];
  readonly decode: readonly MeasuredStep[];
  /** Requests at once, where they stand apart. */
  readonly batches?: readonly MeasuredStep[];
}

interface MeasuredStep {
  readonly shape: string;
  /** Absent: 1. */
  readonly sequences?: number;
  readonly context: number;
  readonly attention: string;
  readonly msPerStep: number;
}

/** @throws TypeError on a file of another kind. */
export function readMeasured(path: string): Measured {
  const json: unknown = JSON.parse(readFileSync(path, "utf8"));
  if (!isMeasured(json))
    throw new TypeError(
      `${path}: expected the JSON of \`bench report --out\` or of a script in bench/peers, with gpu, kernels and decode`,
    );
  return json;
}

function isMeasured(json: unknown): json is Measured {
  if (typeof json !== "object" || json === null) return false;
  return (
    "gpu" in json &&
    "kernels" in json &&
    Array.isArray(json.kernels) &&
    "decode" in json &&
    Array.isArray(json.decode)
  );
}

export function compareMeasured(ours: Measured, theirs: Measured): readonly ComparedRow[] {
  const kernels = ours.kernels.flatMap(({ kernel, microseconds }) => {
    const peer = theirs.kernels.find((one) => one.kernel === kernel);
    return microseconds === undefined || peer?.microseconds === undefined
      ? []
      : [compared(kernel, "µs", microseconds, peer.microseconds)];
  });
  // a peer has full attention only; sparse attention is compared with it, too
  const steps = [...ours.decode, ...(ours.batches ?? [])].flatMap((step) => {
    const { shape, sequences = 1, context, attention, msPerStep } = step;
    const peer = theirs.decode.find(
      (one) => one.shape === shape && (one.sequences ?? 1) === sequences && one.context === context,
    );
    const what = `step of ${shape}, ${sequences > 1 ? `${sequences} requests, ` : ""}${context}, ${attention}`;
    return peer ? [compared(what, "ms", msPerStep, peer.msPerStep)] : [];
  });
  return [...kernels, ...steps];
}

function compared(what: string, unit: "µs" | "ms", ours: number, theirs: number): ComparedRow {
  return { what, unit, ours, theirs, times: ours / theirs };
}
