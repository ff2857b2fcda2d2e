/** Durations in an estimate. It is their minimum, so that a slow step, or two alternating speeds, does not delay a look. */
const REMEMBERED = 4;
/** Minimum durations for an estimate: the first submission of a kind is slow, as kernels and caches are cold. */
const MIN_REMEMBERED = 2;
/** Maximum time until the first look: the loss if work is much shorter than the last of its kind. */
const MAX_BLIND_MS = 10;
/** Factor on an estimate after data arrived before the look, at an unknown time. */
const SHRINK = 0.8;
/** Margin of a look before the expected arrival: a share of the duration, and at least the uncertainty of a look's time. */
const MARGIN_SHARE = 0.03;
const MIN_MARGIN_MS = 0.25;

/** Work submitted to the device. */
export interface Submission {
  readonly at: number;
  /** A small integer; submissions of one kind take about the same time. */
  readonly kind: number;
}

/** The last durations of one kind. */
class Durations {
  readonly #last = new Float64Array(REMEMBERED);
  #count = 0;

  /** Minimum of the last durations; undefined while they are too few. */
  get estimate(): number | undefined {
    if (this.#count < MIN_REMEMBERED) return undefined;
    let shortest = Number.POSITIVE_INFINITY;
    for (let i = 0; i < Math.min(this.#count, REMEMBERED); i++) shortest = Math.min(shortest, this.#last[i]);
    return shortest;
  }

  add(duration: number): void {
    this.#last[this.#count++ % REMEMBERED] = duration;
  }
}

/**
 * Predicts the arrival of a submission's data from the durations of earlier submissions of its kind. The device runs submissions
 * one after another. Pure: times are milliseconds of the caller's clock.
 */
export class ArrivalEstimates {
  readonly #kinds: Durations[] = [];
  /** Arrival of the last submission's data. */
  #lastArrival = Number.NEGATIVE_INFINITY;

  /** Returns the time of the first look for a submission's data, a little before its arrival; undefined without an estimate. */
  lookAt(submission: Submission): number | undefined {
    const duration = this.#kinds[submission.kind]?.estimate;
    if (duration === undefined) return undefined;
    const margin = Math.max(MIN_MARGIN_MS, duration * MARGIN_SHARE);
    return this.#begin(submission) + Math.min(MAX_BLIND_MS, duration - margin);
  }

  /**
   * Learns the time at which the host saw a submission's data.
   * wasPending: the first look came before the data, so that the time is exact; otherwise the data may have arrived long before
   */
  arrived(submission: Submission, at: number, wasPending: boolean): void {
    const duration = Math.max(0, at - this.#begin(submission));
    this.#lastArrival = at;
    let durations = this.#kinds[submission.kind];
    if (!durations) {
      durations = new Durations();
      this.#kinds[submission.kind] = durations;
    }
    if (wasPending) durations.add(duration);
    else durations.add(SHRINK * Math.min(duration, durations.estimate ?? duration));
  }

  /** Returns the start of a submission on the device: after the submission, and after the end of the work before it. */
  #begin({ at }: Submission): number {
    return Math.max(at, this.#lastArrival);
  }
}
