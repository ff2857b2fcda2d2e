import { BackendError } from "../../base/errors.ts";
import { type InFlightSample, MAX_IN_FLIGHT_SAMPLES } from "../backend.ts";
import { ArrivalEstimates, type Submission } from "./arrival-estimates.ts";
import { type Buffers, USAGE } from "./buffers.ts";
import { isPolled, sleepUntil } from "./patient-wait.ts";
import type { Recorder } from "./recorder.ts";
import type { NumberedBuffer } from "./refs.ts";

/** Maximum samples that wait for a call of `tokens`. `start` fetches older ones, assuming that their callers abandoned them. */
const MAX_UNASKED = 2;

const NONE: readonly Promise<unknown>[] = [];

/**
 * Reads sampled tokens back to the host. Steps reuse staging buffers, so that they allocate none. If a wait polls the device,
 * `fetch` maps a staging buffer only after a call of `tokens`, shortly before the tokens are due.
 */
export class SampleReads {
  readonly #recorder: Recorder;
  readonly #buffers: Buffers;
  readonly #sampled: NumberedBuffer;
  readonly #free: NumberedBuffer[] = [];
  readonly #arrivals = new ArrivalEstimates();
  /** Samples without a call of `tokens`, oldest first. */
  readonly #unasked: StagedSample[] = [];
  #numInFlight = 0;

  /** sampled: u32 [maxBatchSequences], the tokens of the last sample */
  constructor(recorder: Recorder, buffers: Buffers, sampled: NumberedBuffer) {
    this.#recorder = recorder;
    this.#buffers = buffers;
    this.#sampled = sampled;
  }

  /** @throws BackendError if `MAX_IN_FLIGHT_SAMPLES` samples are in flight */
  check(): void {
    if (this.#numInFlight >= MAX_IN_FLIGHT_SAMPLES)
      throw new BackendError(
        `sample: ${this.#numInFlight} samples are in flight already; await the tokens of one of them first`,
      );
  }

  /** Submits the recorded commands; the sample fetches its first `rows` tokens. stepRows: rows of the step before the sample */
  start(rows: number, stepRows: number): InFlightSample {
    const size = this.#sampled.buffer.size;
    const staging =
      this.#free.pop() ?? this.#buffers.create("sampled tokens read", size, USAGE.mapRead | USAGE.copyTarget);
    // even a sample without rows copies, because a mapping waits for the last use of its buffer
    this.#recorder.copy(this.#sampled.buffer, 0, staging.buffer, 0, Math.max(1, rows) * 4);
    this.#recorder.submit();
    this.#numInFlight++;
    // steps of a power of two of rows take about the same time
    const submission = { at: performance.now(), kind: 32 - Math.clz32(stepRows) };
    const sample = new StagedSample(this, { staging, rows, submission });
    this.#unasked.push(sample);
    const most = isPolled ? MAX_UNASKED : 0;
    while (this.#unasked.length > most) fetchInSilence(this.#unasked[0] as StagedSample);
    return sample;
  }

  /** Waits for the tokens of a sample. Called once per sample. */
  async fetch(sample: StagedSample): Promise<Uint32Array> {
    const older = this.#takeOlder(sample);
    const { staging, rows, submission } = sample.staged;
    try {
      const lookAt = isPolled ? this.#arrivals.lookAt(submission) : undefined;
      if (lookAt !== undefined) await sleepUntil(lookAt);
      const wasPending = await this.#recorder.map(staging, "sampled tokens");
      this.#arrivals.arrived(submission, performance.now(), wasPending);
      const tokens = new Uint32Array(staging.buffer.getMappedRange()).slice(0, rows);
      staging.buffer.unmap();
      this.#free.push(staging);
      if (older.length > 0) await Promise.all(older);
      return tokens;
    } finally {
      this.#numInFlight--;
    }
  }

  /** Fetches the samples before this one. They arrive no later, so it frees their staging buffers. */
  #takeOlder(sample: StagedSample): readonly Promise<unknown>[] {
    const at = this.#unasked.indexOf(sample);
    if (at < 0) return NONE;
    if (at === 0) {
      this.#unasked.shift();
      return NONE;
    }
    const older = this.#unasked.splice(0, at + 1);
    older.pop();
    return older.map(fetchInSilence);
  }
}

/** Staging buffer and size of a sample. */
interface Staged {
  readonly staging: NumberedBuffer;
  readonly rows: number;
  readonly submission: Submission;
}

class StagedSample implements InFlightSample {
  readonly staged: Staged;
  readonly #reads: SampleReads;
  #tokens: Promise<Uint32Array> | undefined;

  constructor(reads: SampleReads, staged: Staged) {
    this.#reads = reads;
    this.staged = staged;
  }

  tokens(): Promise<Uint32Array> {
    this.#tokens ??= this.#reads.fetch(this);
    return this.#tokens;
  }
}

/** Fetches a sample without a call of `tokens`. A later call gets its tokens, or the error. */
function fetchInSilence(sample: StagedSample): Promise<unknown> {
  return sample.tokens().catch(() => {});
}
