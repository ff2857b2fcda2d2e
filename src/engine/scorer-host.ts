import { type EngineError, RequestError } from "../base/errors.ts";
import type { Admission } from "./admission.ts";
import type { KernelPreparation } from "./kernel-preparation.ts";
import type { PolicyLoader } from "./policy-loader.ts";
import type { PrefillPacer } from "./prefill-pacer.ts";
import { isDecoding } from "./scheduler.ts";
import type { ScorerHost } from "./scoring.ts";

/** The parts of an engine that calls of `logits` and `score` use. */
interface ScorerHostParts {
  readonly admission: Admission;
  readonly policies: PolicyLoader;
  readonly preparation: KernelPreparation;
  readonly pacer: PrefillPacer;
  /** Runs work while nobody else uses the backend. */
  exclusively<T>(work: () => Promise<T>): Promise<T>;
  /** @throws the error by which the engine ended */
  checkRuns(): void;
  /** Ends the engine; returns its error. */
  fail(error: unknown): EngineError;
  /** Starts the turns of the engine. */
  pump(): void;
}

/** The engine as calls of `logits` and `score` see it. */
export function scorerHost(parts: ScorerHostParts): ScorerHost {
  const { admission, policies, preparation, pacer, exclusively, checkRuns, fail, pump } = parts;
  const isBeside = () => admission.running.some(isDecoding);
  const guard = <T>(data: Promise<T>) =>
    data.catch((error: unknown) => {
      throw error instanceof RequestError ? error : fail(error);
    });
  return {
    load: (policy) => policies.load(policy),
    checkFits: (doing, sizes) => admission.checkGroupFits(doing, sizes),
    prepare: (demand) =>
      preparation.prepareFor({ ...demand, chunkRows: pacer.rows(false) }, (policy) => admission.runs(policy)),
    reserve: (doing, sizes) => {
      checkRuns();
      const { group, release } = admission.reserve(doing, sizes);
      pump();
      const free = () => {
        release();
        pump();
      };
      return { group, release: free };
    },
    turn: (work) =>
      exclusively(() => {
        checkRuns();
        return guard((async () => work())());
      }),
    guard,
    prefillRows: () => pacer.rows(isBeside()),
    arrived: (numRows, recordedAt) => {
      const prefill = isBeside() ? "beside" : "alone";
      pacer.arrived({ numRows, prefill, recordedAt, arrivedAt: performance.now() });
    },
  };
}
