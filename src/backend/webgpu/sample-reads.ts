import { BackendError } from "../../base/errors.ts";
import { type InFlightSample, MAX_IN_FLIGHT_SAMPLES } from "../backend.ts";
import { ArrivalEstimates, type Submission } from "./arrival-estimates.ts";
import { type Buffers, USAGE } from "./buffers.ts";
import { isPolled, sleepUntil } from "./patient-wait.ts";
import type { Recorder } from "./recorder.ts";
import type { NumberedBuffer } from "./refs.ts";

/** In-flight samples that may wait for `tokens` to be called; of more, the oldest are taken for abandoned and fetched. */
const MAX_UNASKED = 2;

const NONE: readonly Promise<unknown>[] = [];

/**
 * Brings sampled tokens to the host. Staging buffers go round, so that a step allocates none. Where waiting polls the device, a
 * staging buffer is mapped only when somebody asks for its tokens, shortly before they are expected.
 */
export class SampleReads {
  readonly #recorder: Recorder;
  readonly #buffers: Buffers;
  readonly #sampled: NumberedBuffer;
  readonly #free: NumberedBuffer[] = [];
  readonly #arrivals = new ArrivalEstimates();
  /** Oldest first. */
  readonly #unasked: StagedSample[] = [];
  #numInFlight = 0;

  /** sampled: u32 [maxBatchSequences], where samples leave their tokens. */
  constructor(recorder: Recorder, buffers: Buffers, sampled: NumberedBuffer) {
    this.#recorder = recorder;
    this.#buffers = buffers;
    this.#sampled = sampled;
  }

  /** @throws BackendError when too many samples are in flight. */
  check(): void {
    if (this.#numInFlight >= MAX_IN_FLIGHT_SAMPLES)
      throw new BackendError(
        `sample: ${this.#numInFlight} samples are in flight already; await the tokens of one of them first`,
      );
  }

  /** Submits what was recorded; the sample fetches its first `rows` tokens. stepRows: rows of the step that it ends. */
  start(rows: number, stepRows: number): InFlightSample {
    const size = this.#sampled.buffer.size;
    const staging =
      this.#free.pop() ?? this.#buffers.create("sampled tokens read", size, USAGE.mapRead | USAGE.copyTarget);
    // a copy in any case: mapping waits for the last use of the buffer
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

  /** Waits for the tokens of a sample. Called once a sample. */
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

  /** Fetches what was sampled before a sample that is asked for: it has arrived by then, and makes room. */
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

/** Where the tokens of a sample will be. */
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

/** Fetches a sample that nobody has asked for. Whoever asks for it later gets its tokens, or the error. */
function fetchInSilence(sample: StagedSample): Promise<unknown> {
  return sample.tokens().catch(() => {});
}
