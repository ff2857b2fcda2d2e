import type { Capacity } from "../backend/backend.ts";
import type { ActiveRequest } from "./active-request.ts";
import type { Admission } from "./admission.ts";
import type { ConstraintLoader } from "./deferred-constraint.ts";
import type { KernelPreparation } from "./kernel-preparation.ts";
import type { PolicyLoader } from "./policy-loader.ts";
import type { PrefillPacer } from "./prefill-pacer.ts";

export interface PreparationParts {
  readonly policies: PolicyLoader;
  readonly constraints: ConstraintLoader;
  readonly kernels: KernelPreparation;
  readonly admission: Admission;
  readonly pacer: PrefillPacer;
  readonly capacity: Pick<Capacity, "maxBatchSequences">;
}

/** What a request needs before its admission: the weights and the memory of its policy, its constraint, its kernels. */
export class RequestPreparation {
  readonly #parts: PreparationParts;
  /** Requests that wait for some of it. */
  readonly #waiting = new Set<ActiveRequest>();

  constructor(parts: PreparationParts) {
    this.#parts = parts;
  }

  /** Number of requests that wait. */
  get size(): number {
    return this.#waiting.size;
  }

  [Symbol.iterator](): Iterator<ActiveRequest> {
    return this.#waiting.values();
  }

  /**
   * Prepares a request; returns undefined if there is nothing to do. The promise rejects with the reason of the one thing that
   * failed; the request no longer waits then, nor once it is prepared.
   */
  prepare(request: ActiveRequest): Promise<void> | undefined {
    if (request.isDone) return undefined; // aborted before it began
    const { policies, constraints } = this.#parts;
    const { policy, rules } = request.resolved;
    const [ofPolicy, ofConstraint] = [policies.load(policy), constraints.load(rules?.constraint)];
    const loading =
      ofPolicy && ofConstraint ? Promise.all([ofPolicy, ofConstraint]) : (ofPolicy ?? ofConstraint);
    const prepared = loading
      ? loading.then(() => this.#prepareKernels(request))
      : this.#prepareKernels(request);
    if (!prepared) return undefined;
    this.#waiting.add(request);
    return prepared.finally(() => this.#waiting.delete(request));
  }

  /** What a request waits for; undefined if it does not wait here. */
  why(request: ActiveRequest): string | undefined {
    if (!this.#waiting.has(request)) return undefined;
    const isLoading = this.#parts.policies.lacksWeights(request.resolved.policy);
    return isLoading ? "the weights of its policy" : "its kernels to be prepared";
  }

  /** Compiles the kernels that a request adds to those compiled or compiling; returns undefined if it adds none. */
  #prepareKernels(request: ActiveRequest): Promise<void> | undefined {
    const { kernels, admission, pacer, capacity } = this.#parts;
    const { resolved, promptTokens, longestCache } = request;
    const numOthers = admission.numRequests + this.#waiting.size - (this.#waiting.has(request) ? 1 : 0);
    const batchSize = Math.min(1 + numOthers, capacity.maxBatchSequences);
    return kernels.prepareFor(
      { ...resolved, promptTokens, longestCache, batchSize, chunkRows: pacer.rows(false) },
      (policy) => admission.runs(policy),
    );
  }
}
