/** Durations that an estimate is the least of: one slow step among fast ones, or two speeds in turn, must not make it late. */
const REMEMBERED = 4;
/** Durations from which an estimate is trusted: the first of a kind is slow, as kernels and caches are cold. */
const LEAST_REMEMBERED = 2;
/** Longest time until the first look: where work is much shorter than the last of its kind, no more than that is lost. */
const LONGEST_BLIND_MS = 10;
/** By how much an estimate shrinks where the data was there already: since when is unknown. */
const SHRINK = 0.8;
/** How much earlier than expected to look: a share of the duration, and at least what the time of a look is uncertain by. */
const MARGIN_SHARE = 0.03;
const LEAST_MARGIN_MS = 0.25;

/** Work that was submitted to the device. */
export interface Submission {
  readonly at: number;
  /** A small integer; submissions of one kind take about the same time. */
  readonly kind: number;
}

/** The last durations of one kind. */
class Durations {
  readonly #last = new Float64Array(REMEMBERED);
  #count = 0;

  /** The least of them; undefined while there are too few. */
  get estimate(): number | undefined {
    if (this.#count < LEAST_REMEMBERED) return undefined;
    let least = Number.POSITIVE_INFINITY;
    for (let i = 0; i < Math.min(this.#count, REMEMBERED); i++) least = Math.min(least, this.#last[i]);
    return least;
  }

  add(duration: number): void {
    this.#last[this.#count++ % REMEMBERED] = duration;
  }
}

/**
 * Predicts when the device will have done what was submitted, from how long submissions of the same kind took. The device does
 * them one after another. Pure: times are milliseconds of the caller's clock.
 */
export class ArrivalEstimates {
  readonly #kinds: Durations[] = [];
  /** When the last submission that was waited for was done. */
  #lastArrival = Number.NEGATIVE_INFINITY;

  /** When to look for the data of a submission: a little before it is expected; undefined where nothing is known of its kind. */
  lookAt(submission: Submission): number | undefined {
    const duration = this.#kinds[submission.kind]?.estimate;
    if (duration === undefined) return undefined;
    const margin = Math.max(LEAST_MARGIN_MS, duration * MARGIN_SHARE);
    return this.#begin(submission) + Math.min(LONGEST_BLIND_MS, duration - margin);
  }

  /**
   * Learns when the data of a submission was seen. wasPending: it was still to come at the first look, so that the time is exact;
   * otherwise it may have been there long before.
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

  /** The device begins when it has the work and has done what was before it. */
  #begin({ at }: Submission): number {
    return Math.max(at, this.#lastArrival);
  }
}
