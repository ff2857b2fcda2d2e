/** Times of the host around a backend's steps: from a step's tokens to the next step's beginning, and to record and submit it. */
import type { Backend, InFlightSample, SamplingRow, StepBatch, TensorRef } from "../../src/node/internal.ts";

export interface HostTimes {
  /** Milliseconds from the arrival of a step's tokens to the beginning of the next step: giving tokens out, consumers, scheduling. */
  readonly givenOutMs: readonly number[];
  /** Milliseconds to record and submit a step. */
  readonly recordedMs: readonly number[];
}

export class HostWatch {
  #givenOutMs: number[] = [];
  #recordedMs: number[] = [];
  #arrivedAt = Number.NaN;
  #begunAt = Number.NaN;

  constructor(backend: Backend) {
    const [beginStep, sample] = [backend.beginStep.bind(backend), backend.sample.bind(backend)];
    backend.beginStep = (batch: StepBatch) => {
      this.#begunAt = performance.now();
      if (!Number.isNaN(this.#arrivedAt)) this.#givenOutMs.push(this.#begunAt - this.#arrivedAt);
      this.#arrivedAt = Number.NaN;
      beginStep(batch);
    };
    backend.sample = (logits: TensorRef, rows: readonly SamplingRow[]): InFlightSample => {
      const drawn = sample(logits, rows);
      this.#recordedMs.push(performance.now() - this.#begunAt);
      return {
        tokens: async () => {
          const tokens = await drawn.tokens();
          this.#arrivedAt = performance.now();
          return tokens.fill(0); // what a device that runs nothing leaves there is no token
        },
      };
    };
  }

  /** Returns the times since the last call. */
  take(): HostTimes {
    const times = { givenOutMs: this.#givenOutMs, recordedMs: this.#recordedMs };
    this.#givenOutMs = [];
    this.#recordedMs = [];
    return times;
  }
}
